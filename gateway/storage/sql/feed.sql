-- name: announce
-- Tells every feed on this database. $1 word
SELECT pg_notify('keyferry', $1::text);

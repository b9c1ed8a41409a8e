-- Asks Keyferry about a request, for haproxy.cfg.

-- HAProxy 2.8 finds a certificate's key only beside it, as FILE.key. With a certificate and a key
-- as arguments, links to both are made in the folder that HAProxy is started in.
local certificate, key = ...
if certificate and core.thread <= 1 then
    local link = "ln -sfn '%s' keyferry.pem && ln -sfn '%s' keyferry.pem.key"
    if not os.execute(link:format(certificate, key)) then
        error("cannot link the certificate into the folder that HAProxy is started in")
    end
end

-- Returns an address without spaces, brackets, port and zone.
local function bare(text)
    text = text:match("^%s*(.-)%s*$")
    text = text:match("^%[(.-)%]") or text:match("^([%d.]+):%d+$") or text
    return (text:gsub("%%.*", ""))
end

local networks = {} -- as they were read, by the text of the list

local function read_networks(list)
    local read = {}
    for network in list:gmatch("[^,]+") do
        read[#read + 1] = core.parse_addr(network)
    end
    networks[list] = read
    return read
end

local function is_trusted(address, trusted)
    local parsed = core.parse_addr(address)
    if parsed then
        for _, network in ipairs(trusted) do
            if core.match_addr(network, parsed) then
                return true
            end
        end
    end
    return false
end

-- Returns all X-Forwarded-For headers as one list.
local function forwarded_for(txn)
    local lines, sent = {}, txn.http:req_get_headers()["x-forwarded-for"]
    for at = 0, sent and #sent or -1 do
        lines[at + 1] = sent[at]
    end
    return table.concat(lines, ",")
end

-- Sets txn.viewer to the last address that no trusted peer vouches for: the connection's, or one
-- in X-Forwarded-For. `list` has the networks of trusted peers. Sets txn.trusted to whether the
-- connection's is among them.
local function find_viewer(txn, list)
    local trusted = networks[list] or read_networks(list)
    local viewer, hops = txn.f:src(), {}
    local told = is_trusted(viewer, trusted)
    if told then
        for hop in (forwarded_for(txn)):gmatch("[^,]+") do
            hops[#hops + 1] = bare(hop)
        end
    end
    while #hops > 0 and is_trusted(viewer, trusted) do
        viewer = table.remove(hops)
    end
    txn:set_var("txn.trusted", told)
    txn:set_var("txn.viewer", viewer)
end

-- Returns the query without tokens, or nil when nothing is left.
local function without_tokens(query)
    local kept = {}
    for field in query:gmatch("[^&]+") do
        local name = field:match("^[^=]*"):gsub("%%(%x%x)", function(digits)
            return string.char(tonumber(digits, 16))
        end)
        if name ~= "token" and name ~= "jwt" then
            kept[#kept + 1] = field
        end
    end
    return #kept > 0 and table.concat(kept, "&") or nil
end

-- Returns what Keyferry is told: the target as the client sent it, what haproxy.cfg knows of the
-- viewer and wants to be done, the headers that a token may come in, and nothing else.
local function question(txn)
    local headers = {
        ["host"] = { "keyferry" },
        ["x-original-uri"] = { txn.f:pathq() },
        ["x-forwarded-for"] = { txn:get_var("txn.viewer") },
        ["x-keyferry-prefix"] = { txn:get_var("txn.prefix") },
        ["x-keyferry-carry"] = { txn:get_var("txn.carry") },
    }
    local country_header = txn:get_var("txn.country_header")
    if country_header then
        headers[country_header] = { txn:get_var("txn.country") }
    end
    local sent = txn.http:req_get_headers()
    for _, name in ipairs({ "authorization", "livepeer-jwt", "cookie" }) do
        headers[name] = sent[name] and { sent[name][0] }
    end
    return headers
end

-- Asks Keyferry. `via` is the address, in HAProxy's notation, of a frontend that leads to it;
-- `door` is the path of the account's verify door there.
--
-- Sets txn.status to the answer's status, and txn.path, txn.subject and the others to what its
-- headers say. No status, or any but 200, is no permission: the caller must not go on then.
local function ask(txn, via, door)
    local answer = core.httpclient():get({
        url = "http://keyferry" .. door,
        dst = via,
        headers = question(txn),
        timeout = 5000,
    })
    local function keep(name, header)
        local values = answer.headers and answer.headers[header]
        if values then
            txn:set_var("txn." .. name, values[0])
        end
    end
    keep("subject", "x-auth-sub")
    keep("path", "x-auth-path")
    keep("kid", "x-auth-kid")
    keep("reason", "x-auth-reason")
    keep("location", "location")
    keep("cookie", "set-cookie")
    txn:set_var("txn.shown", ((txn:get_var("txn.path") or ""):gsub("ey[%w_-]+%.[%w_-]+%.[%w_-]+", "TOKEN")))
    local query = without_tokens(txn.f:query() or "")
    if query then
        txn:set_var("txn.query", query)
    end
    txn:set_var("txn.status", answer.status)
end

core.register_action("keyferry_viewer", { "http-req" }, find_viewer, 1)
core.register_action("keyferry", { "http-req" }, ask, 2)

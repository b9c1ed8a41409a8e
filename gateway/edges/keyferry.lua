-- Asks Keyferry about a request: its target as the client sent it, the client's address, the
-- headers that a token may come in, and nothing else. `via` is the address, in HAProxy's notation,
-- of a frontend that leads to Keyferry; `door` is the path of the account's verify door there.
--
-- Sets txn.status to the answer's status, and txn.subject, txn.kid and txn.reason to what its
-- headers say. No status, or any but 200, is no permission: the caller must not go on then.
local function ask(txn, via, door)
    local sent = txn.http:req_get_headers()
    local headers = {
        ["host"] = { "keyferry" },
        ["x-original-uri"] = { txn.f:pathq() },
        ["x-forwarded-for"] = { txn.f:src() },
    }
    for _, name in ipairs({ "authorization", "livepeer-jwt", "cookie" }) do
        if sent[name] then
            headers[name] = { sent[name][0] }
        end
    end

    local answer = core.httpclient():get({
        url = "http://keyferry" .. door,
        dst = via,
        headers = headers,
        timeout = 5000,
    })
    local function said(name)
        local values = answer.headers and answer.headers[name]
        return values and values[0] or ""
    end
    txn:set_var("txn.subject", said("x-auth-sub"))
    txn:set_var("txn.kid", said("x-auth-kid"))
    txn:set_var("txn.reason", said("x-auth-reason"))
    txn:set_var("txn.status", answer.status)
end

core.register_action("keyferry", { "http-req" }, ask, 2)

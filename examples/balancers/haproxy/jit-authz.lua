-- Asks jit-authz about each request, as Traefik and Caddy do. Only a 200 sets txn.jit_allows; haproxy.cfg denies everything else.

local AUTHZ = "http://127.0.0.1:9000/authz/forward-auth"
-- Longer than the gate itself waits.
local PATIENCE = 6000
-- Header fields that a client may send. HAProxy's client holds 101 with those of the question, and 2.6 is killed by one too many.
local FIELDS_MAX = 90

-- Fields of the question. What the client sends under these names, in any spelling, is dropped before they are set.
local METADATA = {
    ["x-forwarded-method"] = true, ["x-forwarded-proto"] = true, ["x-forwarded-host"] = true, ["x-forwarded-uri"] = true,
    ["x-forwarded-for"] = true, ["x-original-url"] = true, ["x-original-method"] = true, ["x-original-host"] = true,
    ["x-original-proto"] = true, ["x-original-uri"] = true, ["x-original-connection"] = true,
    -- Of the question itself, which has no body.
    ["host"] = true, ["content-length"] = true, ["transfer-encoding"] = true, ["expect"] = true,
    ["connection"] = true,
}

-- What goes to a client that was refused.
local PASSED_ON = {
    "content-type", "cache-control", "vary", "x-content-type-options", "content-security-policy", "www-authenticate", "retry-after",
    "location", "x-jit-refusal",
}

local TOLD = {
    ["remote-user"] = "txn.jit_user", ["remote-groups"] = "txn.jit_groups", ["x-jit-grant"] = "txn.jit_grant",
    ["x-jit-expires"] = "txn.jit_expires", ["authorization"] = "txn.jit_authorization", ["cookie"] = "txn.jit_cookie",
}

local function first(headers, name)
    local values = headers and headers[name]
    return values and (values[0] or values[1])
end

core.register_action("jit_check", { "http-req" }, function(txn)
    local headers = {}
    local fields = 0
    local hosts = 0
    local host = ""
    local connection = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        local list = {}
        for i = 0, #values do
            if values[i] ~= nil then
                list[#list + 1] = values[i]
            end
        end
        fields = fields + #list
        if name == "host" then
            hosts = #list
            -- Whole: req_hdr would take what stands after the last comma, and the application is sent all of it.
            host = list[1]
        elseif name == "connection" then
            connection = list
        end
        if not METADATA[name:gsub("[^a-z0-9]", "-")] then
            headers[name] = list
        end
    end
    if fields > FIELDS_MAX then
        txn:done(txn:reply({ status = 431 }))
    end
    -- Without one Host there is nothing to ask about.
    if hosts == 1 and host ~= "" then
        headers["x-forwarded-host"] = { host }
    end
    headers["x-original-connection"] = { table.concat(connection, ", ") }
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-proto"] = { txn.sf:ssl_fc() == 1 and "https" or "http" }
    headers["x-forwarded-uri"] = { txn.sf:url() }
    headers["x-forwarded-for"] = { txn.sf:src() }

    local answer = core.httpclient():get({ url = AUTHZ, headers = headers, timeout = PATIENCE })
    if answer == nil or answer.status == nil or answer.status == 0 then
        return
    end
    if answer.status == 200 then
        for name, variable in pairs(TOLD) do
            local value = first(answer.headers, name)
            if value ~= nil then
                txn:set_var(variable, value)
            end
        end
        txn:set_var("txn.jit_allows", true)
        return
    end
    -- Never a 2xx, whoever answers.
    local status = answer.status
    if status < 300 or status > 599 then
        status = 503
    end
    local reply = txn:reply({ status = status, body = answer.body or "" })
    for _, name in ipairs(PASSED_ON) do
        local value = first(answer.headers, name)
        if value ~= nil then
            reply:add_header(name, value)
        end
    end
    txn:done(reply)
end, 0)

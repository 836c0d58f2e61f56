-- What the steps of one authorization request hand on to each other.

-- The browser that opened a pushed request (RFC 9126), SHA-256 of its binding cookie: it may open it again until the client
-- was answered, nobody else may. Null: nobody has opened it.
alter table pushed_requests add column browser_hash bytea;
-- The pushed request that the interaction is of: of several interactions of one request, one answers the client.
alter table interactions add column pushed_uri_hash bytea;

-- As in V0010.
alter table pushed_requests add column traceparent text;
alter table device_codes add column traceparent text;
alter table ciba_requests add column traceparent text;

-- What a code or a refresh token costs that is used up.

-- Sweeping looks for what has ended of one grant: without its end in the index, it read every token that the grant ever had.
create index refresh_tokens_by_grant_and_end on refresh_tokens (grant_id, expires_at);
drop index refresh_tokens_by_grant;

-- Each row is updated once, when it is used up. With room for that on its own page no index has to learn of it.
alter table refresh_tokens set (fillfactor = 70);
alter table authorization_codes set (fillfactor = 80);

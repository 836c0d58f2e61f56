-- Exchanging tokens, and surviving that a connection breaks while a code is redeemed.

-- An ID token names its session and client; what they were allowed is looked up by both.
create index grants_by_session on grants (sid, client_id);

-- Which attempt redeemed the code, so that the same attempt, made again on another connection, knows itself.
alter table authorization_codes add column redeemed_by uuid;

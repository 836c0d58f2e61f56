-- Tokens that are bound to a key or certificate, and proofs that count once.

-- The thumbprint of the key of DPoP that the authorization request named (RFC 9449 §10).
alter table authorization_codes add column dpop_jkt text;

-- What a public client's refresh token is bound to, as in the claim `cnf` (RFC 9449 §5, RFC 8705 §4); null: nothing.
alter table refresh_tokens add column confirmation jsonb;

-- Proofs of DPoP and assertions of clients that were used (their `jti`), until they would be refused for their age.
create table used_proofs (
    -- SHA-256 of tenant, kind of proof, whose it is, and its jti.
    digest              bytea primary key,
    expires_at          timestamptz not null
);
create index used_proofs_by_expiry on used_proofs (expires_at);

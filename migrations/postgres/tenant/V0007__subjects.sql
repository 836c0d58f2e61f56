-- What pairwise subjects are made with (OIDC Core §8.1). Made once and never changed: with another one every user would be
-- a stranger to every client of that kind. It belongs to the users' ids, and so stands where they stand.
create table pairwise_salt (
    one                 boolean primary key default true check (one),
    -- 32 bytes, of 244 random bits.
    salt                bytea not null
);
insert into pairwise_salt (salt)
values (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

-- A refresh token goes with its grant without a foreign key, whose check locks the grant's row, and so writes it, in every
-- rotation. The statement that stores a token reads the grant. One that was stored while its grant was being deleted
-- stays behind and is of no use: whoever looks for a token looks for its grant, too.

create function delete_refresh_tokens_of_grant() returns trigger language plpgsql as $$
begin
    delete from refresh_tokens where grant_id = old.id;
    return null;
end
$$;
create trigger refresh_tokens_go_with_their_grant after delete on grants
    for each row execute function delete_refresh_tokens_of_grant();
alter table refresh_tokens drop constraint refresh_tokens_grant_id_fkey;

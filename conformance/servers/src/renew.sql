do $$
declare
    name text;
begin
    for name in select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' loop
        execute format('drop schema %I cascade', name);
    end loop;
    for name in select rolname from pg_roles where rolname !~ '^pg_' and rolname <> current_user loop
        execute format('drop owned by %I cascade', name);
        execute format('drop role %I', name);
    end loop;
    create schema public authorization pg_database_owner;
    grant usage on schema public to public;
    alter database postgres reset all;
    alter role current_user reset all;
end $$

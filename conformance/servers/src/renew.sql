-- Makes a PostgreSQL as if nobody had used it, without starting it again.
select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid();
select format('drop database %I (force)', datname) from pg_database
    where datname not in ('postgres', 'template0', 'template1') \gexec
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
end $$;

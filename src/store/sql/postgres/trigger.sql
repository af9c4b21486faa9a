-- Every update of a row gives it the next version, whatever the update says of it.
CREATE OR REPLACE FUNCTION {table:counts}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.{version} := OLD.{version} + 1;
    RETURN NEW;
END
$$;
DROP TRIGGER IF EXISTS {trigger} ON {table};
CREATE TRIGGER {trigger} BEFORE UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {table:counts}();

-- Every update of a row gives it the next version, whatever the update says of it. Wants
-- recursive_triggers off, as it is unless somebody turns it on.
CREATE TRIGGER IF NOT EXISTS {table:counts} AFTER UPDATE ON {table:bare}
WHEN new.{version} IS NOT old.{version} + 1 BEGIN
    UPDATE {table:bare} SET {version} = old.{version} + 1 WHERE {key} = new.{key};
END;

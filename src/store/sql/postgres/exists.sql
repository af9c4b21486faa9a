-- Is the table there?
SELECT count(to_regclass('{meta}'))

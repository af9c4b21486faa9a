-- What is current? The first sight of a resource gives it a version, for the next reader to see
-- the same one.
return answer('current')

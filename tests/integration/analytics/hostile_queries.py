"""Queries that the SQL door must refuse, or answer without what others have. ``{ours}``, ``{others}``, ``{secret}`` and
``{out}`` stand for the tenants, a mark in each row of the other tenant, and a file (``written``)."""

from pathlib import Path

from tests.integration.analytics.sql_door import OTHERS, OURS, SECRET

REACHING_OUT = """
SELECT file('/etc/passwd')
SELECT FILE('/etc/passwd')
SELECT `file`('/etc/passwd')
SELECT /* x */ file /* y */ ('/etc/passwd')
SELECT arrayMap(x -> file(x), ['/etc/passwd'])
SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS a)
SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd' AS a)
SELECT COLUMNS('a') APPLY file FROM (SELECT '/etc/passwd' AS a)
WITH file('/etc/passwd') AS f SELECT f
SELECT 1 ORDER BY file('/etc/passwd')
SELECT 1 LIMIT length(file('/etc/passwd'))
SELECT 1 WHERE file('/etc/passwd') LIKE 'root%'
SELECT 1 GROUP BY file('/etc/passwd')
SELECT if(1, file('/etc/passwd'), '')
SELECT (SELECT file('/etc/passwd'))
SELECT sum(1) OVER (PARTITION BY file('/etc/passwd'))
SELECT 1 FROM numbers(1) ARRAY JOIN [file('/etc/passwd')] AS x
SELECT * FROM numbers(length(file('/etc/passwd')))
SELECT * FROM values('a String', (file('/etc/passwd')))
SELECT * FROM view(SELECT file('/etc/passwd'))
SELECT 1 FORMAT CSV SETTINGS format_schema = '/etc/passwd'
SELECT * FROM file('/etc/passwd', 'LineAsString')
SELECT * FROM file('/etc/passwd', LineAsString, 'line String') AS events
SELECT * FROM fileCluster('default', '/etc/passwd', 'LineAsString')
SELECT * FROM url('file:///etc/passwd', 'LineAsString')
SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')
SELECT * FROM urlCluster('default', 'http://127.0.0.1:1/', 'LineAsString')
SELECT * FROM s3('http://127.0.0.1:1/a', 'LineAsString')
SELECT * FROM filesystem('/etc')
SELECT * FROM executable('id', 'LineAsString', 'line String')
SELECT * FROM python('x')
SELECT * FROM Python(x)
SELECT * FROM sqlite('/etc/passwd', 't')
SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')
SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')
SELECT * FROM mongodb('127.0.0.1:1', 'd', 't', 'u', 'p', 'x String')
SELECT * FROM redis('127.0.0.1:1', 'k', 'k String')
SELECT * FROM remote('127.0.0.1', 'postray', 'events')
SELECT * FROM remoteSecure('127.0.0.1', 'postray', 'events')
SELECT * FROM cluster('default', 'postray', 'events')
SELECT * FROM clusterAllReplicas('default', postray.events)
SELECT * FROM icebergLocal('/etc')
SELECT * FROM deltaLakeLocal('/etc')
SELECT * FROM format(LineAsString, '/etc/passwd')
SELECT * FROM input('line String')
SELECT * FROM loop(file('/etc/passwd', 'LineAsString'))
SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))
SELECT * FROM viewIfPermitted(SELECT 1 ELSE null('x UInt8'))
SELECT * FROM eval('SELECT 1')
SELECT * FROM `/etc/passwd`
SELECT * FROM '/etc/passwd'
SELECT * FROM "/etc/passwd"
SELECT 1 INTO OUTFILE '{out}'
SELECT 1 INTO OUTFILE '{out}' FORMAT CSV
SELECT 1 INTO OUTFILE '{out}' AND STDOUT
SELECT 1 INTO OUTFILE '{out}' TRUNCATE
SELECT 1 INTO OUTFILE '{out}' APPEND COMPRESSION 'gzip'
SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{out}'
SHOW TABLES INTO OUTFILE '{out}'
DESCRIBE TABLE events INTO OUTFILE '{out}'
EXPLAIN SELECT 1 INTO OUTFILE '{out}'
SELECT * FROM events_once INTO/**/OUTFILE '{out}'
SELECT showCertificate()
SELECT dictGet('d', 'a', 1)
SELECT joinGet('j', 'a', 1)
SELECT getSetting('max_threads')
SELECT getServerSetting('path')
SELECT getMacro('x')
SELECT hostName()
SELECT FQDN()
SELECT filesystemAvailable()
SELECT addressToLine(1)
SELECT aiGenerate('x')
SELECT hasColumnInTable('system', 'one', 'dummy')
SELECT catboostEvaluate('/etc/passwd', 1)
SELECT sleep(3)
SELECT editDistance(repeat('a', 60000), repeat('b', 60000))
SELECT levenshteinDistanceUTF8(repeat('a', 60000), repeat('b', 60000))
SELECT damerauLevenshteinDistance(repeat('a', 60000), repeat('b', 60000))
SELECT jaroWinklerSimilarity(repeat('a', 60000), repeat('b', 60000))
SELECT arrayLevenshteinDistance(range(200000), range(100000))
SELECT arraySimilarity(range(20000), range(10000), range(20000), range(10000))
SELECT arrayReduceInRanges('uniqExact', arrayMap(x -> (1, 100000), range(10000)), range(100000))
SELECT seriesDecomposeSTL(arrayMap(x -> toFloat64(x % 10), range(1000000)), 10)
SELECT multiFuzzyMatchAny(repeat('a', 60000), 5, ['a.*b'])
SELECT sleepEachRow(1) FROM numbers(1000)
SELECT throwIf(1)
SELECT * FROM system.named_collections
SELECT * FROM system.server_settings
SELECT * FROM system.stack_trace
SELECT * FROM system.user_directories
SELECT * FROM system.zookeeper
SELECT * FROM system.grants
SELECT * FROM system.dictionaries
SELECT * FROM system.remote_data_paths
""".strip().splitlines()

CHANGING = """
INSERT INTO events (tenant_id) VALUES ('x')
INSERT INTO events SELECT * FROM events
INSERT INTO FUNCTION file('{out}', 'CSV') SELECT 1
INSERT INTO TABLE FUNCTION url('http://127.0.0.1:1/', 'CSV') SELECT 1
CREATE TABLE x (a UInt8) ENGINE = Memory
CREATE TEMPORARY TABLE x (a UInt8)
CREATE VIEW x AS SELECT 1
CREATE MATERIALIZED VIEW x ENGINE = Memory AS SELECT 1 AS a
CREATE DATABASE x
CREATE FUNCTION f AS x -> file(x)
CREATE DICTIONARY x (a UInt8) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT()) LIFETIME(1)
CREATE USER x
CREATE ROW POLICY x ON events USING 1
CREATE NAMED COLLECTION x AS a = 1
ALTER TABLE events DELETE WHERE 1
ALTER TABLE events DROP PARTITION 202601
ALTER TABLE events FREEZE
DELETE FROM events WHERE 1
UPDATE events SET event = 'x' WHERE 1
DROP TABLE events
DROP DATABASE postray
TRUNCATE TABLE events
RENAME TABLE events TO x
EXCHANGE TABLES events AND feed
OPTIMIZE TABLE events FINAL
DETACH TABLE events
ATTACH TABLE events
BACKUP TABLE events TO File('{out}')
RESTORE TABLE events FROM File('{out}')
KILL QUERY WHERE 1
KILL MUTATION WHERE 1
SYSTEM SHUTDOWN
SYSTEM STOP MERGES
SYSTEM FLUSH LOGS
SYSTEM DROP MARK CACHE
SET readonly = 0
SET additional_table_filters = {}
SET ROLE ALL
USE system
GRANT ALL ON *.* TO default
EXECUTE AS default SELECT 1
BEGIN TRANSACTION
CHECK TABLE events
WATCH events
SELECT 1; SELECT 2
SELECT 1; DROP TABLE events
;;DROP TABLE events
SELECT 1 /* ; */; SET readonly = 0
SELECT 1 SETTINGS readonly = 0, additional_table_filters = {}
SELECT 1 SETTINGS max_memory_usage_for_user = 1
SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)
SELECT * FROM (SELECT 1 SETTINGS additional_table_filters = {{}}) FORMAT CSV
SELECT 1 IN (SELECT 1 SETTINGS readonly = 0)
SELECT 1 SETTINGS profile = 'default'
SELECT 1 SETTINGS additional_result_filter = 'x'
SELECT * FROM {t:Identifier}
SELECT * FROM postray.{t:Identifier}
SELECT {t:Identifier} FROM events
PARALLEL WITH SELECT 1
SHOW PROCESSLIST
SHOW GRANTS
SHOW CREATE USER default
SHOW DICTIONARIES
DESCRIBE TABLE file('/etc/passwd', 'LineAsString')
DESCRIBE TABLE (SELECT file('/etc/passwd'))
DESCRIBE TABLE url('http://127.0.0.1:1/', 'CSV')
EXPLAIN PLAN SELECT file('/etc/passwd')
EXPLAIN AST DROP TABLE events
EXPLAIN ESTIMATE SELECT * FROM system.named_collections
SELECT * FROM nothere.events
SELECT * FROM INFORMATION_SCHEMA.referential_constraints
""".strip().splitlines()

OF_OTHERS = """
SELECT * FROM events
SELECT * FROM postray.events
SELECT * FROM `postray`.`events`
SELECT * FROM events AS e
SELECT * FROM events FINAL
SELECT * FROM events_once
SELECT * FROM engagement
SELECT * FROM feed
SELECT * FROM events WHERE tenant_id = '{others}'
SELECT * FROM events WHERE tenant_id != '{ours}' OR 1
SELECT * FROM events WHERE 1 OR tenant_id = '{others}'
SELECT * FROM (SELECT * FROM (SELECT * FROM events))
SELECT * FROM events UNION ALL SELECT * FROM events
SELECT * FROM events UNION DISTINCT SELECT * FROM postray.events
SELECT * FROM events EXCEPT SELECT * FROM events WHERE tenant_id = '{ours}'
SELECT * FROM events INTERSECT SELECT * FROM events
WITH x AS (SELECT * FROM events) SELECT * FROM x
WITH x AS (SELECT * FROM events) SELECT * FROM x UNION ALL SELECT * FROM x
WITH events AS (SELECT * FROM postray.events) SELECT * FROM events
WITH RECURSIVE x AS (SELECT recipient, 1 AS n FROM events UNION ALL SELECT '', 2 FROM x WHERE n = 1) SELECT * FROM x
WITH (SELECT groupArray(recipient) FROM events) AS x SELECT x
SELECT groupArray(recipient) FROM events
SELECT any(recipient), anyLast(recipient), min(recipient), max(recipient), uniq(recipient) FROM events
SELECT topK(100)(recipient), groupUniqArray(recipient) FROM events
SELECT DISTINCT recipient FROM events
SELECT recipient FROM events GROUP BY recipient WITH TOTALS
SELECT recipient FROM events ORDER BY message_id LIMIT 1000
SELECT recipient FROM events LIMIT 1 BY recipient
SELECT recipient, count() OVER () FROM events
SELECT e.recipient FROM events AS e JOIN events AS f ON e.event = f.event
SELECT f.recipient FROM (SELECT 1 AS a) AS e CROSS JOIN events AS f
SELECT f.recipient FROM numbers(5) AS e LEFT JOIN events AS f ON 1 = 1
SELECT f.recipient FROM events AS e FULL JOIN events AS f ON e.message_id = f.message_id
SELECT f.recipient FROM events AS e ASOF JOIN events AS f ON e.event = f.event AND e.at >= f.at
SELECT recipient FROM events ARRAY JOIN [1, 2] AS x
SELECT arrayJoin((SELECT groupArray(recipient) FROM events))
SELECT recipient FROM events WHERE recipient IN (SELECT recipient FROM events)
SELECT 1 WHERE '{secret}-1@example.net' IN (SELECT recipient FROM events)
SELECT 1 WHERE exists(SELECT 1 FROM events WHERE tenant_id = '{others}')
SELECT (SELECT max(recipient) FROM events)
SELECT * FROM view(SELECT * FROM events)
SELECT * FROM view(SELECT * FROM view(SELECT * FROM postray.events))
SELECT COLUMNS('.*') FROM events
SELECT events.* FROM events
SELECT * REPLACE ('{ours}' AS tenant_id) FROM events
SELECT recipient FROM events QUALIFY row_number() OVER (ORDER BY recipient) < 1000
SELECT recipient FROM events SAMPLE 1
SELECT * FROM merge('postray', 'events')
SELECT * FROM merge('events')
SELECT * FROM merge(REGEXP('.*'), '.*')
SELECT * FROM mergeTreeIndex('postray', 'events')
SELECT * FROM mergeTreeProjection('postray', 'events', 'p')
SELECT * FROM mergeTreeTextIndex('postray', 'events', 'i')
SELECT * FROM loop('postray', 'events')
SELECT * FROM loop(events)
SELECT * FROM dictionary('postray.events')
SELECT * FROM numbers(10) WHERE number IN events
SELECT 1 WHERE 'x' IN migrations
SELECT 1 WHERE 'x' IN postray.migrations
SELECT * FROM migrations
SELECT * FROM feed_of_events
SELECT * FROM `.inner.events`
SELECT * FROM system.tables
SELECT * FROM system.columns
SELECT * FROM system.databases
SELECT * FROM system.parts
SELECT * FROM system.parts_columns
SELECT * FROM system.processes
SELECT * FROM system.mutations
SELECT * FROM system.merges
SELECT * FROM system.query_log
SELECT * FROM system.events
SELECT * FROM system.detached_parts
SELECT * FROM information_schema.tables
SELECT * FROM INFORMATION_SCHEMA.TABLES
SELECT _part, _part_offset FROM events
SELECT max(events._part_offset) FROM events
SELECT `_partition_id`, count() FROM events GROUP BY 1
SELECT _block_number FROM events
EXPLAIN SELECT * FROM events
EXPLAIN ESTIMATE SELECT * FROM events
EXPLAIN indexes = 1 SELECT * FROM events
SELECT * FROM (EXPLAIN SELECT * FROM events)
SHOW TABLES LIKE '%'
SHOW CREATE TABLE migrations
DESCRIBE TABLE migrations
SELECT * FROM events SETTINGS additional_table_filters = {{}}
SELECT * FROM events SETTINGS query_plan_merge_filters = 1
SELECT * FROM events SETTINGS optimize_move_to_prewhere = 1
SELECT * FROM events SETTINGS enable_analyzer = 0
SELECT * FROM events SETTINGS readonly = 0, session_id = 'x'
SELECT * FROM (SELECT * FROM events SETTINGS additional_table_filters = {{}})
SELECT $$a$$, recipient FROM events
SELECT $x$ ' $x$, recipient FROM events -- $x$
SELECT recipient/* */FROM/**/events
select recipient From EVENTS
SELECT recipient FROM events # comment
WITH migrations AS (SELECT * FROM migrations) SELECT * FROM migrations
WITH migrations AS (SELECT 'cte' AS name) SELECT * FROM view(SELECT name FROM migrations)
WITH migrations AS (SELECT 'cte' AS name) SELECT * FROM numbers((SELECT count() FROM migrations))
WITH migrations AS (WITH migrations AS (SELECT * FROM migrations) SELECT * FROM migrations) SELECT * FROM migrations
WITH RECURSIVE migrations AS (SELECT name FROM migrations) SELECT * FROM migrations
WITH RECURSIVE a AS (SELECT name FROM migrations UNION ALL SELECT name FROM a), migrations AS (SELECT 1) SELECT * FROM a
WITH a AS (SELECT * FROM migrations), migrations AS (SELECT 1 AS x) SELECT * FROM a
WITH migrations AS (SELECT 'cte' AS name) SELECT '0001_events.sql' IN migrations AS found
(WITH migrations AS (SELECT 'cte' AS name) SELECT name FROM migrations) UNION ALL SELECT name FROM migrations
SELECT name FROM (WITH migrations AS (SELECT '' AS name) SELECT * FROM migrations) UNION ALL SELECT name FROM migrations
WITH erasing AS (SELECT * FROM erasing) SELECT * FROM erasing
WITH quarters AS (SELECT * FROM quarters) SELECT * FROM view(SELECT * FROM quarters)
WITH 1 AS migrations SELECT * FROM migrations
WITH (x -> x) AS migrations SELECT * FROM migrations
WITH `postray.migrations` AS (SELECT 'cte' AS name) SELECT * FROM postray.migrations
SELECT migrations.name FROM (SELECT 'x' AS name) AS migrations JOIN (SELECT name FROM migrations) AS b ON 1 = 1
SELECT min(at), max(at), count() FROM events
SELECT COLUMNS('_part') FROM events
SELECT `events._part` FROM events
SELECT 1 FROM events AS a JOIN events AS b USING (_part)
SELECT categories.size0 FROM events WHERE tenant_id = '{others}'
SELECT count() FROM numbers(1) AS n WHERE EXISTS (SELECT 1 FROM events WHERE tenant_id = '{others}' AND n.number = 0)
SELECT * FROM events SETTINGS session_timezone = 'UTC\', additional_table_filters = {{}} --'
SELECT * FROM events SETTINGS compatibility = '20.1'
SELECT tenant_id, count() FROM events GROUP BY ROLLUP(tenant_id)
SELECT tenant_id FROM events SETTINGS extremes = 1
SELECT * FROM values('a String, x UInt64', ('a', (SELECT count() FROM events WHERE tenant_id = '{others}')))
SELECT initializeAggregation('groupArray', recipient) FROM events WHERE tenant_id = '{others}'
SELECT * FROM events PASTE JOIN migrations
""".strip().splitlines()

BETRAYING = """
SELECT count() FROM events WHERE intDiv(1, recipient != '{secret}-1@example.net') = 1
SELECT count() FROM events WHERE intDiv(1, tenant_id = '{ours}') = 1
SELECT count() FROM events WHERE 0 != intDiv(1, tenant_id = '{ours}') AND message_id != ''
SELECT count() FROM events WHERE message_id LIKE 'msg%' AND intDiv(1, recipient != '{secret}-1@example.net')
SELECT count() FROM events WHERE at > '2000-01-01' AND intDiv(1, tenant_id = '{ours}')
SELECT count() FROM events_once WHERE intDiv(1, tenant_id = '{ours}') = 1
SELECT count() FROM events FINAL WHERE intDiv(1, tenant_id = '{ours}') = 1
SELECT count() FROM engagement WHERE intDiv(1, tenant_id = '{ours}') = 1
SELECT count() FROM feed WHERE intDiv(1, tenant_id = '{ours}') = 1
SELECT sum(intDiv(1, tenant_id = '{ours}')) FROM events
SELECT intDiv(1, tenant_id = '{ours}') FROM events ORDER BY message_id LIMIT 1
SELECT count() FROM events GROUP BY intDiv(1, tenant_id = '{ours}')
SELECT count() FROM events HAVING sum(intDiv(1, tenant_id = '{ours}')) > 0
SELECT x FROM (SELECT intDiv(1, tenant_id = '{ours}') AS x FROM events) WHERE x
SELECT count() FROM (SELECT * FROM events) WHERE intDiv(1, tenant_id = '{ours}')
SELECT count() FROM events AS e JOIN events AS f ON e.message_id = f.message_id WHERE intDiv(1, f.tenant_id = '{ours}')
SELECT count() FROM events AS e JOIN events AS f ON e.event = f.event AND intDiv(1, f.tenant_id = '{ours}') = 1
SELECT count() FROM events WHERE toUInt8(if(tenant_id = '{ours}', '1', 'x')) = 1
SELECT count() FROM events ARRAY JOIN [1] AS x WHERE intDiv(x, tenant_id = '{ours}')
SELECT event FROM events LIMIT 1 BY intDiv(1, tenant_id = '{ours}')
SELECT row_number() OVER (ORDER BY intDiv(1, tenant_id = '{ours}')) FROM events
SELECT count() FROM events WHERE message_id IN (SELECT message_id FROM events WHERE intDiv(1, tenant_id = '{ours}'))
SELECT * EXCEPT tenant_id FROM events WHERE NOT ignore(intDiv(1, tenant_id = '{ours}')) LIMIT 1 FORMAT Null
SELECT count() FROM events ARRAY JOIN arrayMap(x -> intDiv(1, tenant_id = '{ours}'), [1]) AS y
SELECT count() FROM events WHERE arrayExists(x -> intDiv(1, tenant_id = x) = 1, ['{ours}'])
SELECT event FROM events ORDER BY intDiv(1, tenant_id = '{ours}'), at LIMIT 1
SELECT max(intDiv(1, tenant_id = '{ours}')) OVER () FROM events
SELECT 1 FROM numbers(1) AS n WHERE EXISTS (SELECT 1 FROM events WHERE intDiv(1, tenant_id = '{ours}') AND n.number = 0)
SELECT count() FROM events AS e LEFT JOIN (SELECT 1 AS x) AS f ON intDiv(1, e.tenant_id = '{ours}') = f.x
SELECT count() FROM (SELECT 1 AS x) AS f RIGHT JOIN events AS e ON f.x = intDiv(1, e.tenant_id = '{ours}')
SELECT count() FROM events WHERE multiIf(tenant_id = '{ours}', 1, toUInt8(recipient))
SELECT count() FROM (SELECT * FROM events UNION ALL SELECT * FROM events) WHERE intDiv(1, tenant_id = '{ours}')
SELECT accurateCast(if(tenant_id = '{ours}', 1, 1000), 'UInt8') FROM events
SELECT count() FROM events WHERE (tenant_id, intDiv(1, tenant_id = '{ours}')) IN (('{ours}', 1))
""".strip().splitlines()
"""An expression that fails on the rows of others: it must not see them."""

PREWHERE = """
SELECT count() FROM events PREWHERE intDiv(1, tenant_id = '{ours}') = 1
SELECT count() FROM (SELECT * FROM events FINAL PREWHERE intDiv(1, tenant_id = '{ours}') = 1)
SELECT count() FROM events PREWHERE 1
""".strip().splitlines()

ENDLESS = (
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT " + "[" * 900 + "1" + "]" * 900,
    "SELECT " + "-" * 5000 + "1",
    "SELECT " + " + ".join(["1"] * 60_000),
    "SELECT * FROM " + "(SELECT * FROM " * 400 + "events" + ")" * 400,
    "SELECT " + "if(1, " * 500 + "1" + ", 0)" * 500,
    "SELECT '" + "x" * 300_000 + "'",
    "SELECT repeat('x', 1000000000)",
    "SELECT range(100000000)",
    "SELECT arrayMap(x -> range(1000000), range(1000000))",
    "SELECT count() FROM numbers(1e12) AS a CROSS JOIN numbers(1e12) AS b",
    "SELECT groupArray(repeat('x', 1000)) FROM numbers(100000000)",
    "SELECT number FROM numbers(10) ORDER BY number WITH FILL FROM 0 TO 1000000000000",
    "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT max(n) FROM x",
    "SELECT uniqExact(a.number, b.number) FROM numbers(1000000) AS a, numbers(1000000) AS b",
    "SELECT sum(sipHash64(repeat(toString(number), 100000))) FROM numbers(1000000)",
    "SELECT sum(length(space(1000000))) FROM numbers(100000000)",
    "SELECT arrayFold((a, x) -> concat(a, 'xxxxxxxxxxxxxx'), range(100000), '')",
    "SELECT sum(match(concat(repeat('a', 100000), toString(number)), '(a+)+b')) FROM numbers(100000)",
    "SELECT countMatches(repeat('a', 20000), 'a.*b|a')",
    "SELECT 1 FORMAT",
    "\0SELECT 1",
    "SELECT '\udcff'",
    "(" * 100_000,
)

REFUSED = (*REACHING_OUT, *CHANGING)


def written(text: str, out: Path) -> str:
    for name, value in {"out": str(out), "ours": OURS, "others": OTHERS, "secret": SECRET}.items():
        text = text.replace(f"{{{name}}}", value)
    return text.replace("{{", "{").replace("}}", "}")

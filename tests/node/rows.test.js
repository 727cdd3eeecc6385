// The Node.js SDK writes and reads rows, alone, in batches and in ranges; one documented failure each.
//
// The SDK hands out an HTTP status as a failure's code, and the answer's raw body as its message.

'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { test } = require('node:test');
const TableStore = require('tablestore');

const { Long } = TableStore;

function connect(secretAccessKey = 'dev') {
  return new TableStore.Client({
    accessKeyId: 'dev',
    secretAccessKey,
    endpoint: process.env.LAKEFERRY_ENDPOINT,
    instancename: 'node-tests',
    maxRetries: 0,
  });
}

const client = connect();
const IGNORE = new TableStore.Condition(TableStore.RowExistenceExpectation.IGNORE, null);
const EXISTS = new TableStore.Condition(TableStore.RowExistenceExpectation.EXPECT_EXIST, null);

const newName = () => `t_${crypto.randomBytes(6).toString('hex')}`;

function creation(tableName, more = {}) {
  return {
    tableMeta: {
      tableName,
      primaryKey: [{ name: 'group', type: 'STRING' }, { name: 'id', type: 'INTEGER' }],
      ...more.tableMeta,
    },
    reservedThroughput: { capacityUnit: { read: 0, write: 0 } },
    tableOptions: { timeToLive: -1, maxVersions: more.maxVersions ?? 1 },
    ...(more.indexMetas ? { indexMetas: more.indexMetas } : {}),
  };
}

async function newTable(maxVersions) {
  const tableName = newName();
  await client.createTable(creation(tableName, { maxVersions }));
  return tableName;
}

const key = (group, id) => [{ group }, { id: typeof id === 'number' ? Long.fromNumber(id) : id }];

const put = (tableName, primaryKey, attributeColumns, condition = IGNORE, more = {}) =>
  client.putRow({ tableName, primaryKey, attributeColumns, condition, ...more });

const update = (tableName, primaryKey, updateOfAttributeColumns, condition = IGNORE, more = {}) =>
  client.updateRow({ tableName, primaryKey, updateOfAttributeColumns, condition, ...more });

/** Names and newest values of a row's columns; null if there is no row. */
function columns(row) {
  if (!row.primaryKey) return null;
  const values = {};
  for (const { columnName, columnValue } of row.attributes) values[columnName] ??= plain(columnValue);
  return values;
}

/** Integers come as objects of the SDK's own. */
const plain = (value) =>
  value !== null && typeof value === 'object' && !Buffer.isBuffer(value) ? Number(value.toString()) : value;

const read = async (tableName, primaryKey, more = {}) =>
  columns((await client.getRow({ tableName, primaryKey, maxVersions: 1, ...more })).row);

async function scan(tableName, names = ['group', 'id'], more = {}) {
  const bounds = (bound) => names.map((name) => ({ [name]: bound }));
  let start = bounds(TableStore.INF_MIN);
  const rows = [];
  while (start) {
    const page = await client.getRange({
      tableName,
      direction: TableStore.Direction.FORWARD,
      inclusiveStartPrimaryKey: start,
      exclusiveEndPrimaryKey: bounds(TableStore.INF_MAX),
      maxVersions: 1,
      ...more,
    });
    rows.push(...page.rows);
    start = page.nextStartPrimaryKey?.map(({ name, value }) => ({ [name]: value }));
  }
  return rows;
}

const id = (row) => plain(row.primaryKey.find(({ name }) => name === 'id').value);

async function fails(status, code, message, call) {
  await assert.rejects(call, (failure) => {
    assert.equal(Number(failure.code), status, failure.message);
    assert.ok(failure.message.includes(code), failure.message);
    assert.ok(failure.message.includes(message), failure.message);
    return true;
  });
}

test('a table is made, described, listed, changed and deleted', async () => {
  const tableName = newName();
  await client.createTable(creation(tableName, { maxVersions: 3 }));
  const described = await client.describeTable({ tableName });
  assert.deepEqual(described.tableMeta.primaryKey.map(({ name }) => name), ['group', 'id']);
  assert.equal(described.tableOptions.maxVersions, 3);
  assert.equal(described.tableOptions.allowUpdate, true);
  const changed = await client.updateTable({ tableName, tableOptions: { maxVersions: 5, timeToLive: 100000 } });
  assert.equal(changed.tableOptions.maxVersions, 5);
  assert.equal(changed.tableOptions.timeToLive, 100000);
  assert.ok((await client.listTable({})).tableNames.includes(tableName));
  await fails(409, 'OTSObjectAlreadyExist', 'Requested table already exists.', () => client.createTable(creation(tableName)));
  await client.deleteTable({ tableName });
  assert.ok(!(await client.listTable({})).tableNames.includes(tableName));
  await fails(404, 'OTSObjectNotExist', 'Requested table does not exist.', () => client.describeTable({ tableName }));
});

test('a row is put, updated, read and deleted', async () => {
  const table = await newTable();
  const one = key('g', 1);
  await put(table, one, [
    { binary: Buffer.from([0, 255]) }, { double: -0.25 }, { flag: true }, { integer: Long.fromNumber(40) }, { text: 'ünï · 表' },
  ]);
  const whole = await read(table, one);
  assert.deepEqual([...whole.binary], [0, 255]);
  delete whole.binary;
  assert.deepEqual(whole, { double: -0.25, flag: true, integer: 40, text: 'ünï · 表' });
  const returned = await update(table, one,
    [{ PUT: [{ text: 'new' }] }, { DELETE_ALL: ['binary'] }, { INCREMENT: [{ integer: Long.fromNumber(2) }] }], EXISTS,
    { returnContent: { returnType: TableStore.ReturnType.AfterModify, returnColumns: ['integer'] } });
  assert.deepEqual(columns(returned.row), { integer: 42 });
  assert.deepEqual(await read(table, one), { double: -0.25, flag: true, integer: 42, text: 'new' });
  assert.deepEqual(await read(table, one, { columnsToGet: ['flag', 'absent'] }), { flag: true });
  await client.deleteRow({ tableName: table, primaryKey: one, condition: IGNORE });
  assert.equal(await read(table, one), null);
});

test('versions are kept, read and deleted one by one', async () => {
  const table = await newTable(3);
  for (let value = 1; value <= 3; value += 1) await update(table, key('g', 1), [{ PUT: [{ a: Long.fromNumber(value) }] }]);
  const versions = async () =>
    (await client.getRow({ tableName: table, primaryKey: key('g', 1), maxVersions: 10 })).row.attributes;
  const all = await versions();
  assert.deepEqual(all.map(({ columnValue }) => plain(columnValue)), [3, 2, 1]);
  await update(table, key('g', 1), [{ DELETE: [{ a: Long.fromString(all[1].timestamp.toString()) }] }]);
  assert.deepEqual((await versions()).map(({ columnValue }) => plain(columnValue)), [3, 1]);
});

test('the server picks keys', async () => {
  const tableName = newName();
  await client.createTable(creation(tableName, {
    tableMeta: {
      primaryKey: [{ name: 'group', type: 'STRING' }, { name: 'id', type: 'INTEGER', option: 'AUTO_INCREMENT' }],
    },
  }));
  let last = 0;
  for (let at = 0; at < 10; at += 1) {
    const { row } = await put(tableName, [{ group: 'g' }, { id: TableStore.PK_AUTO_INCR }], [{ a: 'x' }], IGNORE,
      { returnContent: { returnType: TableStore.ReturnType.Primarykey } });
    assert.ok(id(row) > last);
    last = id(row);
  }
  assert.equal((await scan(tableName)).length, 10);
});

test('conditions look at the row and at its columns', async () => {
  const table = await newTable();
  const message = 'Condition check failed.';
  await fails(403, 'OTSConditionCheckFail', message, () => put(table, key('g', 1), [{ a: 'x' }], EXISTS));
  await put(table, key('g', 1), [{ a: 'x' }, { b: 'y' }]);
  const both = new TableStore.CompositeCondition(TableStore.LogicalOperator.AND);
  both.addSubCondition(new TableStore.SingleColumnCondition('a', 'x', TableStore.ComparatorType.EQUAL));
  both.addSubCondition(new TableStore.SingleColumnCondition('b', 'z', TableStore.ComparatorType.EQUAL));
  const condition = (column) => new TableStore.Condition(TableStore.RowExistenceExpectation.EXPECT_EXIST, column);
  const change = [{ PUT: [{ a: 'changed' }] }];
  await fails(403, 'OTSConditionCheckFail', message, () => update(table, key('g', 1), change, condition(both)));
  await update(table, key('g', 1), change,
    condition(new TableStore.SingleColumnCondition('b', 'y', TableStore.ComparatorType.EQUAL)));
  assert.deepEqual(await read(table, key('g', 1)), { a: 'changed', b: 'y' });
});

test('batches answer row by row', async () => {
  const table = await newTable();
  const written = await client.batchWriteRow({
    tables: [{
      tableName: table,
      rows: [
        { type: 'PUT', condition: IGNORE, primaryKey: key('g', 1), attributeColumns: [{ a: 'x' }], returnContent: { returnType: 1 } },
        { type: 'UPDATE', condition: IGNORE, primaryKey: key('g', 2), attributeColumns: [{ PUT: [{ a: 'y' }] }] },
        { type: 'DELETE', condition: EXISTS, primaryKey: key('g', 3) },
      ],
    }],
  });
  const [first, second, third] = written.tables;
  assert.ok(first.isOk && second.isOk);
  assert.equal(id(first), 1);
  assert.deepEqual([third.isOk, third.errorCode, third.errorMessage], [false, 'OTSConditionCheckFail', 'Condition check failed.']);
  const [rows] = (await client.batchGetRow({
    tables: [{ tableName: table, primaryKey: [key('g', 2), key('g', 9), key('g', 1)], maxVersions: 1 }],
  })).tables;
  assert.deepEqual(rows.map((row) => row.primaryKey && columns(row).a), ['y', null, 'x']);
  const many = Array.from({ length: 101 }, (_, at) => key('g', at));
  await fails(400, 'OTSParameterInvalid', 'Rows count exceeds the upper limit: 100.',
    () => client.batchGetRow({ tables: [{ tableName: table, primaryKey: many, maxVersions: 1 }] }));
});

test('a range is walked in pages, forward, backward and filtered', async () => {
  const table = await newTable();
  const count = 6000;
  for (let from = 0; from < count; from += 200) {
    const rows = Array.from({ length: 200 }, (_, at) => ({
      type: 'PUT', condition: IGNORE, primaryKey: key('g', from + at),
      attributeColumns: [{ a: Long.fromNumber(from + at) }, { b: Long.fromNumber((from + at) % 3) }],
    }));
    const written = await client.batchWriteRow({ tables: [{ tableName: table, rows }] });
    assert.ok(written.tables.every(({ isOk }) => isOk));
  }
  const rows = await scan(table);
  assert.deepEqual(rows.map(id), Array.from({ length: count }, (_, at) => at));
  const filter = new TableStore.SingleColumnCondition('b', Long.fromNumber(0), TableStore.ComparatorType.EQUAL, false);
  assert.equal((await scan(table, ['group', 'id'], { columnFilter: filter })).length, count / 3);
  const backward = {
    tableName: table, direction: TableStore.Direction.BACKWARD, maxVersions: 1, limit: 2,
    inclusiveStartPrimaryKey: key('g', 10), exclusiveEndPrimaryKey: key('g', 7),
  };
  const page = await client.getRange(backward);
  assert.deepEqual(page.rows.map(id), [10, 9]);
  assert.equal(plain(page.nextStartPrimaryKey[1].value), 8);
  await fails(400, 'OTSParameterInvalid', 'Begin key must less than end key in FORWARD',
    () => client.getRange({ ...backward, direction: TableStore.Direction.FORWARD }));
});

test('a local transaction commits, or leaves nothing', async () => {
  const table = await newTable();
  const start = async () => (await client.startLocalTransaction({ tableName: table, primaryKey: [{ group: 'g' }] })).transactionId;
  const first = await start();
  await put(table, key('g', 1), [{ a: 'x' }], IGNORE, { transactionId: first });
  assert.equal(await read(table, key('g', 1)), null);
  await client.commitTransaction({ transactionId: first });
  assert.deepEqual(await read(table, key('g', 1)), { a: 'x' });
  const second = await start();
  await put(table, key('g', 1), [{ a: 'y' }], IGNORE, { transactionId: second });
  // The SDK takes the answer, which is empty, for a request, which is not; the transaction is aborted all the same.
  await assert.rejects(() => client.abortTransaction({ transactionId: second }), /missing required 'transactionId'/);
  assert.deepEqual(await read(table, key('g', 1)), { a: 'x' });
  await fails(404, 'OTSSessionNotExist', 'Session not exist or may be timeout.',
    () => client.commitTransaction({ transactionId: second }));
});

test('a global index follows its table', async () => {
  const [table, index] = [newName(), newName()];
  await client.createTable(creation(table, { tableMeta: { definedColumn: [{ name: 'city', type: TableStore.DefinedColumnType.DCT_STRING }] } }));
  await put(table, key('g', 1), [{ city: 'Rome' }]);
  await client.createIndex({
    mainTableName: table,
    includeBaseData: true,
    indexMeta: {
      name: index, primaryKey: ['city'], definedColumn: [],
      indexUpdateMode: TableStore.IndexUpdateMode.IUM_ASYNC_INDEX, indexType: TableStore.IndexType.IT_GLOBAL_INDEX,
    },
  });
  await put(table, key('g', 2), [{ city: 'Oslo' }]);
  const cities = async () => {
    try {
      return (await scan(index, ['city', 'group', 'id'])).map((row) => row.primaryKey[0].value).join(' ');
    } catch (early) {
      assert.ok(early.message.includes('Disallow read index table in building base state'), early.message);
      return '';
    }
  };
  const end = Date.now() + 90_000;
  while (await cities() !== 'Oslo Rome') {
    assert.ok(Date.now() < end, `the cities, not ${await cities()}`);
    await new Promise((again) => setTimeout(again, 20));
  }
  await client.dropIndex({ mainTableName: table, indexName: index });
  assert.equal((await client.describeTable({ tableName: table })).indexMetas.length, 0);
});

test('what cannot be written is refused, and so are strangers', async () => {
  const table = await newTable();
  await fails(400, 'OTSParameterInvalid', "Invalid column name: '#'.", () => put(table, key('g', 1), [{ '#': 'x' }]));
  await fails(400, 'OTSInvalidPK', 'Validate PK size fail. Input: 1, Meta: 2.', () => put(table, [{ group: 'g' }], [{ a: 'x' }]));
  await fails(400, 'OTSInvalidPK', 'Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.',
    () => client.deleteRow({ tableName: table, primaryKey: [{ group: 'g' }, { id: 'x' }], condition: IGNORE }));
  await fails(403, 'OTSAuthFailed', 'Signature mismatch.', () => connect('wrong').listTable({}));
});

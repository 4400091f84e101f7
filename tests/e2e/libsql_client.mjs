// What a program does with `@libsql/client`: arguments are the client's folder, the URL and the token.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [folder, url, authToken] = process.argv.slice(2);
const { createClient } = createRequire(`${folder}/package.json`)("@libsql/client/http");
const client = createClient({ url, authToken, intMode: "bigint" });

await client.executeMultiple(`
    CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, price REAL, photo BLOB);
    CREATE TABLE log (note TEXT);
    CREATE TRIGGER told AFTER INSERT ON item BEGIN INSERT INTO log VALUES (new.name); END;
`);

// Values of every kind, by place and by name.
const photo = new Uint8Array([0, 1, 254, 255]);
const big = 9007199254740993n;
const made = await client.execute({
    sql: "INSERT INTO item VALUES (:id, $name, @price, :photo)",
    args: { id: big, name: "Mug", price: 12.5, photo },
});
assert.equal(made.rowsAffected, 1);
assert.equal(made.lastInsertRowid, big);
const { columns, rows } = await client.execute({ sql: "SELECT * FROM item WHERE id = ?", args: [big] });
assert.deepEqual(columns, ["id", "name", "price", "photo"]);
assert.equal(rows[0].id, big);
assert.equal(rows[0].price, 12.5);
assert.deepEqual(new Uint8Array(rows[0].photo), photo);

// A batch is all or nothing.
const results = await client.batch([
    { sql: "INSERT INTO item (name) VALUES (?)", args: ["Cup"] },
    "SELECT count(*) AS n FROM item",
], "write");
assert.equal(results[1].rows[0].n, 2n);
await assert.rejects(client.batch([
    "INSERT INTO item (name) VALUES ('Plate')",
    "INSERT INTO item (name) VALUES ('Mug')",
], "write"), { code: "SQLITE_CONSTRAINT" });
const count = async () => (await client.execute("SELECT count(*) AS n FROM item")).rows[0].n;
assert.equal(await count(), 2n);

// A transaction over several calls: seen by itself, then by all; or by nobody.
const kept = await client.transaction("write");
await kept.execute("INSERT INTO item (name) VALUES ('Bowl')");
assert.equal((await kept.execute("SELECT count(*) AS n FROM item")).rows[0].n, 3n);
assert.equal(await count(), 2n);
await kept.commit();
assert.equal(await count(), 3n);
const undone = await client.transaction("write");
await undone.execute("DELETE FROM item");
await undone.rollback();
assert.equal(await count(), 3n);
const closed = await client.transaction("write");
await closed.execute("DELETE FROM item");
closed.close();
assert.equal(await count(), 3n);

// Errors have SQLite's words.
await assert.rejects(client.execute("SELECT colour FROM item"), /no such column/);
await assert.rejects(client.execute("ATTACH 'other.db' AS other"), { code: "SQLITE_AUTH" });
const stranger = createClient({ url, authToken: "another token" });
await assert.rejects(stranger.execute("SELECT 1"), /token/);

assert.equal((await client.execute("SELECT count(*) AS n FROM log")).rows[0].n, 3n);
console.log("all is as it should be");

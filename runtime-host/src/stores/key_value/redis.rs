//! Key-value stores in a Redis server, which several hosts may share.
//!
//! Keys are there as guests name them and numbers are decimal digits, as Spin has both, so either may read what the other wrote. Stores
//! that are to be apart have databases of their own: the number in the URL's path.

use std::fmt;
use std::time::Duration;

use futures::FutureExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError, RedisResult,
    Script, ScriptInvocation, ServerErrorKind, cmd,
};
use tokio::time::timeout;

use super::{
    Answer, BATCH_BYTES_MAX, Cas, Error, KeyValue, Keys, PAGE_KEYS_MAX, Swap, check_batch, check_key, check_value,
};

/// How long connecting to the server may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a call may take, with connecting anew where the connection is lost.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);
/// How long what was sent may stay unacknowledged before the connection counts as lost: a server whose machine is gone says nothing.
const UNACKNOWLEDGED_TIME_MAX: Duration = Duration::from_secs(5);

/// What the script for many values answers when they are too large together.
const TOO_LARGE: &str = "BATCHTOOLARGE";
/// Stops before a large answer is made. `false` is nil, where a hole would end the list.
const GET_MANY: &str = "local bytes, values = 0, {}
    for index, key in ipairs(KEYS) do
        local value = redis.call('GET', key)
        if value then bytes = bytes + #value end
        if bytes > tonumber(ARGV[1]) then return redis.error_reply('BATCHTOOLARGE in bytes') end
        values[index] = value
    end
    return values";
/// A sum that fails does not let the entry live longer. The sum is read as text, since a number of a script has 53 bits.
const INCREMENT: &str = "local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
    if type(sum) == 'table' and sum.err then return sum end
    if ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
    return redis.call('GET', KEYS[1])";
/// The first answer tells whether it was swapped, the second is what is there instead.
const SWAP: &str = "local current = redis.call('GET', KEYS[1])
    local expected = false
    if ARGV[1] == '1' then expected = ARGV[2] end
    if current ~= expected then return {0, current} end
    if ARGV[4] ~= '' then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) else redis.call('SET', KEYS[1], ARGV[3]) end
    return {1, false}";

/// Where a Redis server is, and how it is asked. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisServer {
    url: String,
    address: String,
}

impl RedisServer {
    /// Reads a URL as the runtime configuration has it: `redis://[[user]:password@]host[:port][/database]`, or `rediss://` with TLS.
    pub fn parse(url: &str) -> Result<Self, String> {
        // The URL may hold a password, so what is wrong is said without it.
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !matches!(scheme, "redis" | "rediss") {
            return Err(
                "the URL is none of a Redis server; expected redis://host[:port][/database], or rediss:// with TLS"
                    .into(),
            );
        }
        let info = url.into_connection_info();
        let info = info.map_err(|error| format!("the URL of the Redis server is not understood: {error}"))?;
        let database = info.redis_settings().db();
        Ok(Self { url: url.to_owned(), address: format!("{scheme}://{}/{database}", info.addr()) })
    }

    fn connection_info(&self) -> RedisResult<ConnectionInfo> {
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(UNACKNOWLEDGED_TIME_MAX);
        Ok(self.url.as_str().into_connection_info()?.set_tcp_settings(tcp))
    }
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

impl fmt::Debug for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisServer").field(&self.address).finish()
    }
}

/// A key-value store in a Redis server.
#[derive(Clone)]
pub struct Redis {
    server: RedisServer,
    ttl_ms: Option<u64>,
    connection: ConnectionManager,
    scripts: &'static Scripts,
}

struct Scripts {
    get_many: Script,
    increment: Script,
    swap: Script,
}

/// Whether a call may be sent again after the connection was lost, when nobody knows whether it was carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// Twice does the same as once, unless somebody else has written in between: then the last of all writes is this one.
    Once,
    /// It counts, or depends on what was there.
    Never,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("server", &self.server).field("ttl_ms", &self.ttl_ms).finish_non_exhaustive()
    }
}

impl Redis {
    /// The store in `server`, which is asked from the first call on: a host starts without it. Every write of an entry lets it live for
    /// `ttl` from then on. Has to be called in a tokio runtime.
    pub fn open(server: &RedisServer, ttl: Option<Duration>) -> Result<Self, Error> {
        static SCRIPTS: std::sync::LazyLock<Scripts> = std::sync::LazyLock::new(|| Scripts {
            get_many: Script::new(GET_MANY),
            increment: Script::new(INCREMENT),
            swap: Script::new(SWAP),
        });
        let failed = |error: RedisError| Error::Backend(format!("{server} cannot be used: {error}"));
        let client = Client::open(server.connection_info().map_err(failed)?).map_err(failed)?;
        // Each call that finds no connection tries anew, so the manager itself does not wait for better times.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIME_MAX))
            .set_response_timeout(Some(CALL_TIME_MAX));
        Ok(Self {
            server: server.clone(),
            // Redis takes no life of 0 ms, which would be none.
            ttl_ms: ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)),
            connection: ConnectionManager::new_lazy_with_config(client, config).map_err(failed)?,
            scripts: &SCRIPTS,
        })
    }

    /// Has the server carry out one command.
    async fn ask<T: FromRedisValue>(&self, again: Again, command: &Cmd) -> Result<T, Error> {
        self.call(again, || async {
            let mut connection = self.connection.clone();
            command.query_async(&mut connection).await
        })
        .await
    }

    /// Has the server carry out several commands, all or none.
    async fn ask_all(&self, commands: &Pipeline) -> Result<(), Error> {
        self.call(Again::Once, || async {
            let mut connection = self.connection.clone();
            commands.exec_async(&mut connection).await
        })
        .await
    }

    async fn run<T: FromRedisValue>(&self, again: Again, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        self.call(again, || async {
            let mut connection = self.connection.clone();
            script.invoke_async(&mut connection).await
        })
        .await
    }

    /// Bounds a call in time. One that found its connection lost, as after a restart of the server, is tried once more.
    async fn call<T, F>(&self, again: Again, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let attempts = async {
            match attempt().await {
                Err(error) if again == Again::Once && is_lost(&error) => attempt().await,
                done => done,
            }
        };
        match timeout(CALL_TIME_MAX, attempts).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => Err(self.error(&RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)))),
        }
    }

    fn error(&self, error: &RedisError) -> Error {
        let server = &self.server;
        if error.code() == Some(TOO_LARGE) {
            return Error::BatchTooLarge;
        }
        if error.is_timeout() {
            return Error::Backend(format!("{server} did not answer within {} s", CALL_TIME_MAX.as_secs()));
        }
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) if detail.contains("not an integer") => Error::NotDecimal,
            ErrorKind::Server(ServerErrorKind::ResponseError) if detail.contains("would overflow") => Error::Overflow,
            ErrorKind::Io => Error::Backend(format!("{server} cannot be reached: {error}")),
            _ => Error::Backend(format!("{server} answered: {error}")),
        }
    }

    fn set_command(&self, key: &str, value: &[u8]) -> Cmd {
        let mut set = cmd("SET");
        set.arg(key).arg(value);
        if let Some(ttl_ms) = self.ttl_ms {
            set.arg("PX").arg(ttl_ms);
        }
        set
    }

    /// As scripts take it: empty for none.
    fn ttl_argument(&self) -> String {
        self.ttl_ms.map_or(String::new(), |ttl_ms| ttl_ms.to_string())
    }

    async fn value(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        let value: Option<Vec<u8>> = self.ask(Again::Once, cmd("GET").arg(key)).await?;
        // Others may write to the server too.
        value.iter().try_for_each(|value| check_value(value))?;
        Ok(value)
    }
}

/// Whether the connection went, so that the next call has a new one.
fn is_lost(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

impl KeyValue for Redis {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        self.value(key).boxed()
    }

    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<(String, Option<Vec<u8>>)>> {
        let get = async move {
            check_batch(keys.iter().map(String::as_str))?;
            let mut script = self.scripts.get_many.arg(BATCH_BYTES_MAX);
            for key in &keys {
                script.key(key);
            }
            let values: Vec<Option<Vec<u8>>> = self.run(Again::Once, &script).await?;
            Ok(keys.into_iter().zip(values).collect())
        };
        get.boxed()
    }

    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        let exists = async move {
            check_key(key)?;
            self.ask(Again::Once, cmd("EXISTS").arg(key)).await
        };
        exists.boxed()
    }

    fn set(&self, key: String, value: Vec<u8>) -> Answer<'_, ()> {
        let set = async move {
            check_key(&key)?;
            check_value(&value)?;
            self.ask(Again::Once, &self.set_command(&key, &value)).await
        };
        set.boxed()
    }

    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        let set = async move {
            check_batch(pairs.iter().map(|(key, _)| key.as_str()))?;
            pairs.iter().try_for_each(|(_, value)| check_value(value))?;
            let mut commands = redis::pipe();
            commands.atomic();
            for (key, value) in &pairs {
                commands.add_command(self.set_command(key, value)).ignore();
            }
            if pairs.is_empty() { Ok(()) } else { self.ask_all(&commands).await }
        };
        set.boxed()
    }

    fn delete(&self, key: String) -> Answer<'_, ()> {
        self.delete_many(vec![key])
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        let delete = async move {
            check_batch(keys.iter().map(String::as_str))?;
            if keys.is_empty() { Ok(()) } else { self.ask(Again::Once, cmd("DEL").arg(keys)).await }
        };
        delete.boxed()
    }

    fn keys(&self, cursor: Option<String>) -> Answer<'_, Keys> {
        let scan = async move {
            let mut cursor = match cursor {
                None => 0,
                Some(cursor) => cursor.parse::<u64>().map_err(|_| Error::BadCursor)?,
            };
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("COUNT").arg(PAGE_KEYS_MAX).arg("TYPE").arg("string");
                let (next, found): (u64, Vec<Vec<u8>>) = self.ask(Again::Once, &scan).await?;
                // A guest names keys in UTF-8, so it could do nothing with others.
                let keys: Vec<String> = found.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
                // A step may come upon nothing and yet not be the last.
                if !keys.is_empty() || next == 0 {
                    return Ok(Keys { keys, cursor: (next != 0).then(|| next.to_string()) });
                }
                cursor = next;
            }
        };
        scan.boxed()
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        let increment = async move {
            check_key(&key)?;
            let mut script = self.scripts.increment.key(key);
            script.arg(delta).arg(self.ttl_argument());
            self.run(Again::Never, &script).await
        };
        increment.boxed()
    }

    fn compare(&self, key: String) -> Answer<'_, Cas> {
        let compare = async move {
            let current = self.value(&key).await?;
            Ok(Cas { key, current })
        };
        compare.boxed()
    }

    fn swap(&self, cas: Cas, value: Vec<u8>) -> Answer<'_, Swap> {
        let swap = async move {
            check_value(&value)?;
            let mut script = self.scripts.swap.key(cas.key());
            script.arg(u8::from(cas.current.is_some())).arg(cas.current.as_deref().unwrap_or_default());
            script.arg(value).arg(self.ttl_argument());
            let (swapped, current): (bool, Option<Vec<u8>>) = self.run(Again::Never, &script).await?;
            if swapped {
                return Ok(Swap::Done);
            }
            current.iter().try_for_each(|current| check_value(current))?;
            Ok(Swap::Changed(Cas { key: cas.key, current }))
        };
        swap.boxed()
    }

    /// The server itself does it.
    fn sweep_expired(&self) -> Answer<'_, u64> {
        async { Ok(0) }.boxed()
    }
}

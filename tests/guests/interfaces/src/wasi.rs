//! The WASI 0.3 interfaces besides HTTP.

use serde_json::{Map, Value, json};
use spin_sdk::wasip3::cli::environment::{get_arguments, get_environment};
use spin_sdk::wasip3::clocks::{monotonic_clock, system_clock};
use spin_sdk::wasip3::filesystem::preopens::get_directories;
use spin_sdk::wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};
use spin_sdk::wasip3::random::random::get_random_bytes;
use spin_sdk::wasip3::sockets::types::{
    ErrorCode as SocketError, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket,
};
use spin_sdk::wasip3::wit_stream;

const WAIT_NS: u64 = 20_000_000;
const RANDOM_BYTES: u64 = 16;

pub(crate) fn environment() -> Value {
    let environment: Map<String, Value> =
        get_environment().into_iter().map(|(name, value)| (name, value.into())).collect();
    json!({ "environment": environment, "arguments": get_arguments() })
}

pub(crate) async fn clocks() -> Value {
    let start = monotonic_clock::now();
    monotonic_clock::wait_for(WAIT_NS).await;
    json!({ "unix_seconds": system_clock::now().seconds, "waited_ns": monotonic_clock::now() - start })
}

pub(crate) fn random() -> Value {
    json!({ "bytes": get_random_bytes(RANDOM_BYTES) })
}

/// Reads `path`, then tries to change it and to leave the folder.
pub(crate) async fn files(path: &str) -> Value {
    let directories = get_directories();
    let Some((directory, mount)) = directories.first() else {
        return json!({ "error": "no directory" });
    };
    json!({
        "mount": mount,
        "content": crate::outcome(read(directory, path).await),
        "write": refusal(open(directory, path, OpenFlags::empty(), DescriptorFlags::WRITE).await),
        "create": refusal(open(directory, "new.txt", OpenFlags::CREATE, DescriptorFlags::WRITE).await),
        "delete": directory.unlink_file_at(path.to_owned()).await.err().map(|error| format!("{error:?}")),
        "outside": refusal(open(directory, "../outside", OpenFlags::empty(), DescriptorFlags::READ).await),
    })
}

async fn read(directory: &Descriptor, path: &str) -> Result<Value, ErrorCode> {
    let file = open(directory, path, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (content, end) = file.read_via_stream(0);
    let content = content.collect().await;
    end.await?;
    Ok(String::from_utf8_lossy(&content).into())
}

async fn open(
    directory: &Descriptor,
    path: &str,
    how: OpenFlags,
    rights: DescriptorFlags,
) -> Result<Descriptor, ErrorCode> {
    directory.open_at(PathFlags::empty(), path.to_owned(), how, rights).await
}

fn refusal(result: Result<Descriptor, ErrorCode>) -> Option<String> {
    result.err().map(|error| format!("{error:?}"))
}

/// Says `ping` to a server on this machine, and answers what that says.
pub(crate) async fn connect(port: u16) -> Result<Value, SocketError> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    let loopback = Ipv4SocketAddress { port, address: (127, 0, 0, 1) };
    socket.connect(IpSocketAddress::Ipv4(loopback)).await?;
    let (mut words, sent) = wit_stream::new();
    let sending = socket.send(sent);
    let (received, end) = socket.receive();
    words.write_all(b"ping".to_vec()).await;
    drop(words);
    sending.await?;
    let answer = received.collect().await;
    end.await?;
    Ok(json!({ "answer": String::from_utf8_lossy(&answer) }))
}

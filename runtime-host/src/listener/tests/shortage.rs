//! No file descriptor is left, or the operating system refuses a connection for another reason.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::process::Command;
use std::sync::Arc;

use super::*;

const CHILD: &str = "LISTENER_TEST_CHILD";
const NAME: &str = "listener::tests::shortage::without_file_descriptors_open_connections_go_on_and_new_ones_wait";

/// Runs itself in a process of its own, because the bound on descriptors is the whole process's.
#[test]
fn without_file_descriptors_open_connections_go_on_and_new_ones_wait() {
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(starve());
    }
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -n 64; exec "$0" --exact "$1" --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{output}{}", String::from_utf8_lossy(&child.stderr));
    assert!(output.contains("1 passed"), "{output}");
}

async fn starve() {
    let listener = Running::start(|_| {}).await;
    let mut open = listener.connect().await;
    assert!(open.get("/before").await.ends_with("/before"));

    let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() > 10);
    // One descriptor for the client's end of the next connection, none for the listener's.
    taken.pop();
    let mut waiting = listener.connect().await;
    waiting.send("GET /waited HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for _ in 0..5 {
        tokio::time::sleep(SHORT / 5).await;
        assert!(open.get("/meanwhile").await.ends_with("/meanwhile"));
    }
    assert_eq!(listener.open.count(), 1);

    drop(taken);
    assert!(waiting.answer().await.ends_with("/waited"));
    assert_eq!(listener.open.count(), 2);
}

#[tokio::test]
async fn no_refusal_of_the_operating_system_ends_the_acceptor() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    // Too many files here and in the system, no memory for it, a connection that is gone, a firewall, a fault of no name.
    let numbers = [24, 23, 12, 105, 103, 1].map(io::Error::from_raw_os_error);
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::Interrupted, ErrorKind::NetworkDown, ErrorKind::Other];
    let refusals = RefCell::new(numbers.into_iter().chain(kinds.map(io::Error::from)).collect::<Vec<_>>());
    let accept = || async {
        let refusal = refusals.borrow_mut().pop();
        match refusal {
            Some(refusal) => Err(refusal),
            None => socket.accept().await,
        }
    };
    let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let dispatch = |connection| drop(sender.send(connection));
    tokio::select! {
        () = accept::run(accept, Arc::new(Semaphore::new(1)), dispatch) => panic!("the acceptor has ended"),
        connection = accepted.recv() => assert!(connection.is_some()),
        () = tokio::time::sleep(PATIENCE) => panic!("the connection behind the refusals was never accepted"),
    }
    assert!(refusals.borrow().is_empty());
}

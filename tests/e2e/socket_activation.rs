//! systemd opens the sockets and hears of readiness and of the end: who connects before the host has started only waits.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::{FdFlags, fcntl_setfd};
use tests::app::App;
use tests::host::PATIENCE;
use tests::raw::RawConnection;

/// Starts a command as systemd does: with the descriptors 3 and 4, and the process's own id in the environment.
const LIKE_SYSTEMD: &str = r#"exec 3<&"$PUBLIC" 4<&"$ADMIN"; unset PUBLIC ADMIN; LISTEN_PID=$$ LISTEN_FDS=2 exec "$@""#;

/// A socket that child processes inherit.
fn inherited_socket() -> (OwnedFd, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("it is bound");
    fcntl_setfd(&socket, FdFlags::empty()).expect("the socket is open");
    (socket.into(), address)
}

fn service_manager(folder: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(folder.join("notify")).expect("the folder is writable");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    socket
}

fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 256];
    let count = socket.recv(&mut bytes).expect("the host says something");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_the_service_manager_are_used_and_it_hears_of_start_and_end() {
    let ((public, public_address), (admin, admin_address)) = (inherited_socket(), inherited_socket());
    let app = App::new().guest("hello", "");
    let manager = service_manager(app.folder());
    let mut early = RawConnection::open_at(public_address).await;
    assert!(early.send("GET /hello/ HTTP/1.1\r\nhost: shop\r\n\r\n").await);
    let notify = app.folder().join("notify").display().to_string();
    let mut host = app
        .through(&["bash", "-c", LIKE_SYSTEMD, "bash"])
        .environment("PUBLIC", public.as_raw_fd().to_string())
        .environment("ADMIN", admin.as_raw_fd().to_string())
        .environment("LISTEN_FDNAMES", "shop.socket:admin")
        .environment("NOTIFY_SOCKET", notify)
        .start()
        .await;
    drop((public, admin));
    assert_eq!(host.address(), public_address.to_string());
    assert_eq!(host.admin_url(""), format!("http://{admin_address}"));
    assert!(early.read_until("Hello, world!\n").await.starts_with("HTTP/1.1 200"));
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    assert_eq!(heard(&manager), format!("READY=1\nMAINPID={}\n", host.pid()));

    assert_eq!(host.stop().await.code(), Some(0));
    assert_eq!(heard(&manager), "STOPPING=1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_were_passed_to_another_process_are_left_alone() {
    let app = App::new().guest("hello", "").environment("LISTEN_PID", "1").environment("LISTEN_FDS", "1");
    assert_eq!(app.start().await.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_too_many_is_refused() {
    let ((one, _), (other, _)) = (inherited_socket(), inherited_socket());
    let app = App::new()
        .guest("hello", "")
        .through(&["bash", "-c", LIKE_SYSTEMD, "bash"])
        .environment("PUBLIC", one.as_raw_fd().to_string())
        .environment("ADMIN", other.as_raw_fd().to_string());
    app.refused().await.assert_says(&["two sockets", "FileDescriptorName=admin"]);
}

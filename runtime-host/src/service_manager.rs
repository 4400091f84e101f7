//! What systemd passes to a service and hears from it: sockets that it opened, readiness, the end (sd_listen_fds(3), sd_notify(3)).

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd as _, OwnedFd};

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use sd_notify::NotifyState;

/// What the admin listener's socket is called (`FileDescriptorName=`). One of any other name is the application's.
const ADMIN_NAME: &str = "admin";

/// Sockets on which somebody else listens for us already.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// Where the application answers.
    pub public: Option<TcpListener>,
    /// Where metrics and the control API answer.
    pub admin: Option<TcpListener>,
}

/// The sockets that were passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedSocketsError {
    /// The environment says something that cannot be.
    #[error("LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES are not understood")]
    Environment(#[source] io::Error),
    /// A descriptor is something else.
    #[error("the passed socket `{0}` does not listen for TCP; set ListenStream= to an address and a port")]
    NotTcp(String),
    /// There are two for one listener.
    #[error("two sockets are passed for the {0}; name the admin listener's with FileDescriptorName={ADMIN_NAME}")]
    Twice(&'static str),
}

impl PassedSockets {
    /// Takes what was passed to this process, if anything was. To be called once, since it takes the descriptors.
    pub fn take() -> Result<Self, PassedSocketsError> {
        let mut sockets = Self::default();
        for (descriptor, name) in sd_notify::listen_fds_with_names().map_err(PassedSocketsError::Environment)? {
            // SAFETY: LISTEN_PID says that the descriptor was opened for this very process, and nobody else takes it.
            #[expect(unsafe_code, reason = "a number in the environment is how systemd passes a socket")]
            let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
            sockets.add(descriptor, &name)?;
        }
        Ok(sockets)
    }

    fn add(&mut self, descriptor: OwnedFd, name: &str) -> Result<(), PassedSocketsError> {
        if !listens_for_tcp(&descriptor).unwrap_or(false) {
            return Err(PassedSocketsError::NotTcp(name.to_owned()));
        }
        let (place, listener) = match name {
            ADMIN_NAME => (&mut self.admin, "admin listener"),
            _ => (&mut self.public, "application"),
        };
        match place.replace(descriptor.into()) {
            None => Ok(()),
            Some(_) => Err(PassedSocketsError::Twice(listener)),
        }
    }
}

fn listens_for_tcp(descriptor: &OwnedFd) -> rustix::io::Result<bool> {
    let is_internet = [AddressFamily::INET, AddressFamily::INET6].contains(&socket_domain(descriptor)?);
    Ok(is_internet && socket_type(descriptor)? == SocketType::STREAM && socket_acceptconn(descriptor)?)
}

/// Says that requests are answered, by this process: after an upgrade it is another one than systemd has started.
pub fn notify_ready() {
    notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
}

/// Says that the process which goes on as the service is another one, which systemd believes only the former.
pub fn notify_main_process(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

/// Says that the end has begun.
pub fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Where nobody wants to know, nothing is said.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager (NOTIFY_SOCKET) cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn listener() -> (OwnedFd, std::net::SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket.into(), address)
    }

    #[test]
    fn the_admin_listener_is_known_by_name_and_the_application_takes_the_other() {
        let mut sockets = PassedSockets::default();
        let ((public, public_address), (admin, admin_address)) = (listener(), listener());
        sockets.add(admin, "admin").unwrap();
        sockets.add(public, "shop.socket").unwrap();
        assert_eq!(sockets.public.as_ref().unwrap().local_addr().unwrap(), public_address);
        assert_eq!(sockets.admin.as_ref().unwrap().local_addr().unwrap(), admin_address);

        let error = sockets.add(listener().0, "http").unwrap_err().to_string();
        assert!(error.contains("two sockets") && error.contains("FileDescriptorName=admin"), "{error}");
    }

    #[test]
    fn what_does_not_listen_for_tcp_is_refused() {
        let mut sockets = PassedSockets::default();
        let folder = tempfile::tempdir().unwrap();
        let unix = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let no_socket: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        for descriptor in [unix.into(), udp.into(), no_socket] {
            let error = sockets.add(descriptor, "http").unwrap_err().to_string();
            assert!(error.contains("`http` does not listen for TCP"), "{error}");
        }
        assert!(sockets.public.is_none());
    }
}

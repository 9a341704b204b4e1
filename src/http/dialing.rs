//! What connections are made from, and to which of a host's addresses.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::RawFd;
use std::ptr;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::socket::set_option;
use super::socket::{address_of_raw, raw_address};
use crate::message::error::{Error, ErrorKind};
use crate::message::reach::{Dialing, IpVersion};

/// What a connection is made from.
#[derive(Debug)]
pub enum Origin {
    /// Whatever leads there.
    Any,
    /// An address of this machine; its port is 0.
    Address(SocketAddr),
    Interface(CString),
}

impl Origin {
    pub fn of(dialing: &Dialing) -> Result<Origin, Error> {
        let Some(text) = dialing.local_address.as_deref() else { return Ok(Origin::Any) };
        let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(Origin::Address(SocketAddr::new(address, 0)));
        }
        let unknown = |error| {
            let what = format!(
                "\"{}\" is neither an address nor an interface of this machine",
                text.escape_default()
            );
            Error::os(ErrorKind::Connection, what, &error)
        };
        if let Some((address, zone)) = literal.split_once('%')
            && let Ok(address) = address.parse::<Ipv6Addr>()
        {
            let zone =
                zone.parse().map_or_else(|_| index_of(zone).map(|(_, index)| index), Ok).map_err(unknown)?;
            return Ok(Origin::Address(SocketAddrV6::new(address, 0, 0, zone).into()));
        }
        index_of(text).map(|(name, _)| Origin::Interface(name)).map_err(unknown)
    }

    /// Has a socket that is about to connect to `target` begin here.
    pub fn bind(&self, socket: RawFd, target: &SocketAddr) -> io::Result<()> {
        match self {
            Origin::Any => Ok(()),
            Origin::Address(address) => bind(socket, address),
            Origin::Interface(name) => match bind_to_device(socket, name) {
                // Not everybody may: then its address has to do.
                Err(error) if error.raw_os_error() != Some(libc::ENODEV) => {
                    bind(socket, &address_of(name, target)?)
                }
                result => result,
            },
        }
    }

    fn is_usable_for(&self, address: &SocketAddr) -> bool {
        match self {
            Origin::Address(own) => own.is_ipv4() == address.is_ipv4(),
            Origin::Any | Origin::Interface(_) => true,
        }
    }
}

/// " from 192.0.2.1", where somebody has said so.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Any => Ok(()),
            Origin::Address(address) => write!(f, " from {}", address.ip()),
            Origin::Interface(name) => write!(f, " from {}", name.to_string_lossy()),
        }
    }
}

/// Those of a host's addresses that may be used. An error when there are none.
pub fn of_version(
    addresses: Vec<SocketAddr>,
    version: IpVersion,
    host: &str,
) -> Result<Vec<SocketAddr>, Error> {
    let fits = |address: &SocketAddr| match version {
        IpVersion::Any => true,
        IpVersion::V4 => address.is_ipv4(),
        IpVersion::V6 => address.is_ipv6(),
    };
    let kind = if version == IpVersion::V4 { "IPv4" } else { "IPv6" };
    only(addresses, fits, || format!("'{host}' has no {kind} address, and no other may be used"))
}

/// Those that can be reached from there.
pub fn from(addresses: Vec<SocketAddr>, origin: &Origin, host: &str) -> Result<Vec<SocketAddr>, Error> {
    only(
        addresses,
        |address| origin.is_usable_for(address),
        || {
            format!(
                "'{host}' has no address that can be reached{origin}, which is of the other version of IP"
            )
        },
    )
}

fn only(
    mut addresses: Vec<SocketAddr>,
    fits: impl Fn(&SocketAddr) -> bool,
    none: impl FnOnce() -> String,
) -> Result<Vec<SocketAddr>, Error> {
    addresses.retain(|address| fits(address));
    if addresses.is_empty() { Err(Error::new(ErrorKind::Connection, none())) } else { Ok(addresses) }
}

fn index_of(name: &str) -> io::Result<(CString, u32)> {
    let name = CString::new(name).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: a C string that lives during the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        // Not every system says more than that.
        0 => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        index => Ok((name, index)),
    }
}

fn bind(socket: RawFd, address: &SocketAddr) -> io::Result<()> {
    // The port is chosen when it is known where the connection leads to: it may be in use elsewhere.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = set_option(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &(1 as libc::c_int));
    let (storage, length) = raw_address(address);
    // SAFETY: the storage is initialised for its length.
    let result = unsafe { libc::bind(socket, (&raw const storage).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_to_device(socket: RawFd, name: &CStr) -> io::Result<()> {
    let mut request = [0_u8; libc::IFNAMSIZ];
    let name = name.to_bytes_with_nul();
    request.get_mut(..name.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(name);
    set_option(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &request)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_to_device(_: RawFd, _: &CStr) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// An address of an interface that can reach `target`.
fn address_of(interface: &CStr, target: &SocketAddr) -> io::Result<SocketAddr> {
    let mut list = ptr::null_mut();
    // SAFETY: the pointer is filled in.
    if unsafe { libc::getifaddrs(&mut list) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = None;
    let mut next = list;
    while !next.is_null() {
        // SAFETY: the list is the system's, whole, and freed behind the loop. Names are C strings, and an address is
        // one of its family.
        unsafe {
            let entry = &*next;
            next = entry.ifa_next;
            if CStr::from_ptr(entry.ifa_name) != interface || entry.ifa_addr.is_null() {
                continue;
            }
            let Some(mut address) = address_of_raw(entry.ifa_addr) else { continue };
            address.set_port(0);
            let reaches = match (address.ip(), target.ip()) {
                (IpAddr::V4(_), IpAddr::V4(_)) => true,
                // Within a link and beyond it are two things.
                (IpAddr::V6(own), IpAddr::V6(target)) => {
                    own.is_unicast_link_local() == target.is_unicast_link_local()
                }
                _ => false,
            };
            if reaches {
                found = Some(address);
                break;
            }
        }
    }
    // SAFETY: it came from getifaddrs, and nothing of it is in use.
    unsafe { libc::freeifaddrs(list) };
    found.ok_or_else(|| io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<Origin, Error> {
        Origin::of(&Dialing { local_address: Some(text.into()), ..Dialing::default() })
    }

    #[test]
    fn addresses_and_interfaces_are_told_apart() {
        for (text, shown) in [
            ("127.0.0.1", " from 127.0.0.1"),
            ("::1", " from ::1"),
            ("[::1]", " from ::1"),
            ("fe80::1%1", " from fe80::1"),
        ] {
            assert_eq!(origin(text).unwrap().to_string(), shown);
        }
        for text in ["", "no such", "127.0.0.1:80", "fe80::1%none", "a\0b"] {
            let error = origin(text).unwrap_err();
            assert_eq!((error.kind(), error.os_code()), (ErrorKind::Connection, libc::ENODEV), "{text}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_interface_has_addresses() {
        let Ok(Origin::Interface(name)) = origin("lo") else { return };
        let found = address_of(&name, &"127.0.0.1:80".parse().unwrap()).unwrap();
        assert_eq!(found, "127.0.0.1:0".parse().unwrap());
        assert!(address_of(c"none", &"127.0.0.1:80".parse().unwrap()).is_err());
    }

    #[test]
    fn only_addresses_of_one_version_are_left() {
        let all: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()];
        assert_eq!(of_version(all.clone(), IpVersion::V4, "h").unwrap(), all[..1]);
        assert_eq!(of_version(all.clone(), IpVersion::V6, "h").unwrap(), all[1..]);
        assert_eq!(from(all.clone(), &origin("127.0.0.2").unwrap(), "h").unwrap(), all[..1]);
        let error = of_version(all[..1].to_vec(), IpVersion::V6, "h").unwrap_err();
        assert!(error.message().as_str().contains("has no IPv6 address"));
    }
}

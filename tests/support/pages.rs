//! A web server of a test's own, on the host's loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// A server that answers each request with `the page`; with `/wait` it begins, and goes on
/// when the connection is closed by the other side. Its port.
pub fn server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let peer = peer.unwrap();
            thread::spawn(move || answer(peer));
        }
    });
    port
}

fn answer(mut peer: TcpStream) {
    let mut request = [0; 4096];
    let length = peer.read(&mut request).unwrap_or(0);
    let waits = request[..length].starts_with(b"GET /wait");
    let _ = peer.write_all(b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nthe page\n");
    if waits {
        let _ = peer.read(&mut request);
    }
}

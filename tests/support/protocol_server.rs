//! Serves the protocols of `protocol` on a port of 127.0.0.1, for clients that others wrote: prints its address, and ends
//! with its standard input.

#![allow(clippy::print_stdout)]

#[path = "protocol/mod.rs"]
mod protocol;
#[path = "server.rs"]
mod server;

use std::io::Read;

fn main() {
    let server = server::Server::whole(|seen| protocol::answer(seen).reply());
    println!("{}", server.url());
    let mut nothing = Vec::new();
    drop(std::io::stdin().read_to_end(&mut nothing));
}

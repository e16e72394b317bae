//! Prints the nodes whenever the map changes, until the client is closed.
//!
//! ```text
//! cargo run -p tendmap-tokio --example watch -- 127.0.0.1:3000
//! ```

use tendmap::{Client, Config};
use tendmap_tokio::ChangeStream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::args().nth(1).ok_or("usage: watch HOST:PORT")?;
    // Connecting may wait for a server: before the loop, or in `spawn_blocking`.
    let client = Client::connect(Config::shared(vec![host.parse()?], 0xA700_0000))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut changes = ChangeStream::new(client.changes()?)?;
        loop {
            let map = client.map()?;
            let nodes: Vec<String> =
                map.map.nodes.iter().map(|(_, node)| node.id.to_string()).collect();
            println!("{}: {}", map.sequence, nodes.join(" "));
            changes.changed().await?;
        }
    })
}

//! The product on both engines, through its public API: storage, migrations, secrets, and a program that embeds it.

#[macro_use]
mod engines;

mod embedder;
mod migrations;
mod secrets;
mod storage;

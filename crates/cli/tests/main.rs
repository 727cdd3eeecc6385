//! The program as people use it: started as a process, judged by what it prints and how it exits.

mod commands;
mod demo;
mod files;
mod program;
mod serve;
mod tasks;

//! coloring

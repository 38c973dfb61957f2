//! What the user sees: one minimal wrong text for each mistake, and exactly what is said about it.

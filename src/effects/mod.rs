//! Removes what belonged to the rows outside the database: Redis keys, then
//! files. What is not there is done, so that everything can be done again.

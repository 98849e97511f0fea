"""The operations of a dial (`operations`) as each shell carries them out."""

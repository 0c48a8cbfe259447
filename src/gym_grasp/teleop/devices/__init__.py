"""What an operator may hold or wear; every module is one `Device`, imported where it is used."""

module keyferry

go 1.22

module github.com/stemd/stem/bench

go 1.26.0

require github.com/stemd/stem v0.0.0

replace github.com/stemd/stem => ../

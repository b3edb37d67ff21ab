package e2e

import (
	"os"
	"strconv"
)

// EtcdProcessBasePort is the first port of a cluster.
var EtcdProcessBasePort, _ = strconv.Atoi(os.Getenv("SUITE_BASE_PORT"))

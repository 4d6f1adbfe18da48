module github.com/handover-go/handover/consumer/k8s

go 1.26.0

replace github.com/handover-go/handover => ../..

require (
	github.com/handover-go/handover v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.12.1
	k8s.io/api v0.36.3
	k8s.io/apimachinery v0.36.3
	k8s.io/client-go v0.36.3
)

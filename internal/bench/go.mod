module github.com/handover-go/handover/internal/bench

go 1.26.0

replace github.com/handover-go/handover => ../..

require (
	github.com/go-playground/webhooks/v6 v6.4.0
	github.com/google/go-github/v90 v90.0.0
	github.com/handover-go/handover v0.0.0-00010101000000-000000000000
	github.com/slack-go/slack v0.35.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stretchr/testify v1.12.1
	github.com/stripe/stripe-go/v86 v86.0.0
	github.com/svix/svix-webhooks v1.99.1
	github.com/tink-crypto/tink-go/v2 v2.9.0
)

require (
	github.com/google/go-querystring v1.2.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.53.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package systems

import (
	_ "code.gitea.io/sdk/gitea"
	_ "github.com/go-sql-driver/mysql"
	_ "github.com/handover-go/handover/consumer/k8s"
	_ "github.com/handover-go/handover/internal/servers"
	_ "github.com/handover-go/handover/issuer/gitea"
	_ "github.com/handover-go/handover/issuer/minio"
	_ "github.com/handover-go/handover/issuer/mysqlusers"
	_ "github.com/handover-go/handover/issuer/pgusers"
	_ "github.com/handover-go/handover/issuer/redisacl"
	_ "github.com/handover-go/handover/store/k8ssecret"
	_ "github.com/handover-go/handover/store/vaultkv"
	_ "github.com/hashicorp/vault/api"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/minio/madmin-go/v3"
	_ "github.com/minio/minio-go/v7"
	_ "github.com/redis/go-redis/v9"
	_ "github.com/stretchr/testify/require"
	_ "k8s.io/api/core/v1"
	_ "k8s.io/client-go/kubernetes"
	_ "modernc.org/sqlite"
)

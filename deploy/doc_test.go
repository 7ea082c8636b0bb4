// Package deploy_test checks what an operator copies: rules, dashboard, compose stack and manifests name metrics that
// exist, and are what the documents say. Whether expressions find data in a real run is asked in promtest.
package deploy_test

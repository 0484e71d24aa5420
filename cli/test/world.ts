/** A small world for commands that look: one route, one policy, two consumers. */
export const WORLD = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec: {gatewayClassName: gatewarden, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec: {parentRefs: [{name: web}], hostnames: [orders.test], rules: [{backendRefs: [{name: orders, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiPolicy
metadata: {name: orders, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders}]
  authentication: {apiKey: {from: {headers: [x-api-key]}}}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: erp, namespace: shop, labels: {tier: partner}}
spec: {apiKeys: [{name: k1, secretRef: {name: keys, key: erp}, expiresAt: "2030-01-01T00:00:00Z"}]}
---
apiVersion: gatewarden.io/v1alpha1
kind: ApiConsumer
metadata: {name: crm, namespace: shop}
spec: {apiKeys: [{name: k1, secretRef: {name: keys, key: crm}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: shop}
stringData: {erp: key-of-erp-1, crm: key-of-crm-1}
`;

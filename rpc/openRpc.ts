/**
 * The server's description of itself, served by `rpc.discover`: every method with its parameters. Written from the method tables, so it cannot
 * fall behind them. Source: OpenRPC 1.3.2.
 */
import type { MethodTable } from './method.ts'
import type { Json } from './quantity.ts'

/** The OpenRPC document of these methods. */
export function openRpcDocument(methods: MethodTable): Json {
  return {
    openrpc: '1.3.2',
    info: { title: 'Tributary', version: '1', description: 'JSON-RPC of a Tributary node' },
    methods: Object.entries(methods).map(([name, { summary, params }]) => ({
      name,
      summary,
      paramStructure: 'by-position',
      params: params.map((param) => ({ name: param.name, required: param.required, schema: param.schema })),
      result: { name: 'result', schema: {} },
    })),
  }
}

/**
 * What Ethereum's precompiles cost on this chain. Ethereum's gas is for native code. Where Node has nothing native they run in JavaScript here, some
 * hundreds of times slower for their gas: at Ethereum's price one transaction of additions on BLS12-381 would hold up every node for minutes. So their gas is a
 * multiple of Ethereum's, the least that pays for the measured cost of the dearest input against an ecrecover of 3,000 gas; inputs, answers and
 * failures are Ethereum's. Figures: docs/benchmarks.md#gas. Spec: docs/spec/transactions.md#gas
 */
import type { EVM, ExecResult, PrecompileInput } from '@ethereumjs/evm'

/** What a precompile takes: so many times Ethereum's gas, and some for the call. */
type Price = { readonly factor: bigint; readonly callGas: bigint }

/** Prices by address. What is not listed takes Ethereum's. */
const PRICES: readonly (readonly [address: number, price: Price])[] = [
  [0x05, { factor: 3n, callGas: 0n }], // modexp
  [0x06, { factor: 15n, callGas: 0n }], // addition on bn254
  [0x07, { factor: 35n, callGas: 0n }], // multiplication on bn254
  [0x08, { factor: 15n, callGas: 0n }], // pairing on bn254
  [0x09, { factor: 25n, callGas: 600n }], // blake2f: Ethereum's takes nothing for no round
  [0x0b, { factor: 350n, callGas: 0n }], // BLS12-381: addition in G1
  [0x0c, { factor: 30n, callGas: 0n }], // sum of products in G1
  [0x0d, { factor: 450n, callGas: 0n }], // addition in G2
  [0x0e, { factor: 35n, callGas: 0n }], // sum of products in G2
  [0x0f, { factor: 16n, callGas: 0n }], // pairing
  [0x10, { factor: 25n, callGas: 0n }], // map to G1
  [0x11, { factor: 25n, callGas: 0n }], // map to G2
  [0x100, { factor: 25n, callGas: 0n }], // P-256
]

type Run = (input: PrecompileInput) => ExecResult | Promise<ExecResult>

/** Gives the EVM's precompiles this chain's prices. */
export function repricePrecompiles({ precompiles }: EVM): void {
  for (const [address, price] of PRICES) {
    const key = address.toString(16).padStart(40, '0')
    const run = precompiles.get(key)
    if (run) precompiles.set(key, repriced(run, price))
  }
}

/** The precompile sees the gas that is left in Ethereum's measure, so that it still asks for it before it works. One that fails takes all. */
function repriced(run: Run, { factor, callGas }: Price): Run {
  const priced = (result: ExecResult, gasLimit: bigint): ExecResult => ({
    ...result,
    executionGasUsed: result.exceptionError ? gasLimit : callGas + result.executionGasUsed * factor,
  })
  return (input) => {
    // Below 0 there is not even gas for no work at all.
    const gasLimit = input.gasLimit < callGas ? -1n : (input.gasLimit - callGas) / factor
    const done = run({ ...input, gasLimit })
    return done instanceof Promise ? done.then((result) => priced(result, input.gasLimit)) : priced(done, input.gasLimit)
  }
}

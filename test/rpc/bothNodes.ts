/**
 * A chain of ours and an anvil with the same transactions: a contract is deployed that makes another, calls it in every way, and refuses. What one node
 * tells of them can be held against what the other does.
 */
import solc from 'solc'
import { createPublicClient, encodeDeployData, encodeFunctionData, getContractAddress, type Hex, http, parseAbi } from 'viem'
import { type Anvil, startAnvil } from '../fakes/anvil.ts'
import { signEthereum, signer } from '../fakes/chain.ts'
import { type Served, serve } from './serve.ts'

const SOURCE = `
pragma solidity ^0.8.20;
contract Inner {
  uint256 public value;
  event Set(uint256 indexed value);
  constructor() payable {}
  receive() external payable {}
  function set(uint256 v) external payable returns (uint256) { value = v; emit Set(v); return v * 2; }
  function fail(uint256 v) external { value = v; emit Set(v); revert("not today"); }
  function halt() external { value = 1; assembly { invalid() } }
  function bye(address payable to) external { selfdestruct(to); }
}
contract Outer {
  uint256 public value;
  Inner public inner;
  event Begun(uint256 value);
  event Ended(bytes32 hash);
  constructor() payable { inner = new Inner(); }
  function run(uint256 v) external payable returns (uint256) {
    emit Begun(v);
    uint256 twice = inner.set{value: 1}(v);
    try inner.fail(v) {} catch {}
    (bool ok,) = address(inner).delegatecall(abi.encodeCall(Inner.set, (v + 1)));
    require(ok && inner.value() == v && value == v + 1);
    try inner.halt{gas: 30000}() {} catch {}
    Inner second = new Inner{salt: bytes32(v), value: 2}();
    second.bye(payable(address(inner)));
    emit Ended(sha256(abi.encode(twice, address(second).balance)));
    return twice;
  }
  function refuse() external { value = 7; revert("not me"); }
}`

type Compiled = { readonly abi: readonly unknown[]; readonly bytecode: Hex }

function compileOuter(): Compiled {
  const settings = { evmVersion: 'cancun', optimizer: { enabled: true }, outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } }
  const input = { language: 'Solidity', sources: { 'Outer.sol': { content: SOURCE } }, settings }
  const { abi, evm } = JSON.parse(solc.compile(JSON.stringify(input))).contracts['Outer.sol'].Outer
  return { abi, bytecode: `0x${evm.bytecode.object}` }
}

export type Trace = Record<string, unknown>

const runAbi = parseAbi(['function run(uint256 v) payable returns (uint256)', 'function refuse()'])
export const deployer = signer(6)
/** The contract that calls the other, which it makes. */
export const outer = getContractAddress({ from: deployer.address, nonce: 0n }).toLowerCase() as Hex
export const inner = getContractAddress({ from: outer, nonce: 1n }).toLowerCase() as Hex

export type BothNodes = {
  readonly served: Served
  /** Deployment, a run, a refusal: a block each. */
  readonly hashes: readonly Hex[]
  /** The same of both. */
  ask(method: string, ...params: readonly unknown[]): Promise<[ours: unknown, theirs: unknown]>
  /** The same of both, by what each of them is asked. */
  askEach(method: string, ours: readonly unknown[], theirs: readonly unknown[]): Promise<[ours: unknown, theirs: unknown]>
  /** Another transaction of the deployer, in a block of its own. */
  send(transaction: Readonly<Record<string, unknown>>): Promise<Hex>
  close(): Promise<void>
}

export async function startBothNodes(): Promise<BothNodes> {
  const compiled = compileOuter()
  const served = await serve()
  const { chainId } = served.chain.params
  const anvil: Anvil = await startAnvil({ chainId, stepsTracing: true })
  const client = createPublicClient({ transport: http(anvil.url) })
  const request = client.request as (args: { method: string; params: readonly unknown[] }) => Promise<unknown>
  await request({ method: 'anvil_setBalance', params: [deployer.address, '0x56bc75e2d63100000'] })
  let nonce = 0
  const send: BothNodes['send'] = async (transaction) => {
    const raw = await signEthereum(served.chain, 6, { ...transaction, nonce: nonce++ })
    await request({ method: 'eth_sendRawTransaction', params: [raw] })
    const sealed = await served.chain.seal([raw])
    return sealed.transactions.at(-1)?.hash ?? '0x'
  }
  const askEach: BothNodes['askEach'] = async (method, ours, theirs) => [
    await served.call(method, ...ours),
    await request({ method, params: theirs }),
  ]
  const data = encodeDeployData({ abi: compiled.abi, bytecode: compiled.bytecode })
  const run = encodeFunctionData({ abi: runAbi, functionName: 'run', args: [5n] })
  const refuse = encodeFunctionData({ abi: runAbi, functionName: 'refuse' })
  const hashes = [
    await send({ data, gas: 3_000_000n, value: 10n }),
    await send({ to: outer, data: run, gas: 1_000_000n, value: 3n }),
    await send({ to: outer, data: refuse, gas: 100_000n }),
  ]
  return {
    served,
    hashes,
    ask: (method, ...params) => askEach(method, params, params),
    askEach,
    send,
    async close() {
      await served.server.close()
      await anvil.stop()
    },
  }
}

/** The first place where two answers differ; undefined: nowhere. A whole difference of traces is too long to be read. */
export function difference(ours: unknown, theirs: unknown, path = ''): string | undefined {
  if (typeof ours === 'object' && typeof theirs === 'object' && ours !== null && theirs !== null) {
    const [a, b] = [ours as Trace, theirs as Trace]
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const found = difference(a[key], b[key], `${path}.${key}`)
      if (found !== undefined) return found
    }
    return undefined
  }
  return ours === theirs
    ? undefined
    : `${path}: ours ${JSON.stringify(ours)?.slice(0, 200)}, theirs ${JSON.stringify(theirs)?.slice(0, 200)}`
}

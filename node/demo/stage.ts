/**
 * Where the demo plays: the node, what its network chose, and who takes part, with the devnet's well-known keys. Every run brings its own datanet,
 * model and hot key and goes on where the accounts stand, so that it can be played again on the same network.
 */
import {
  BaseError,
  ContractFunctionRevertedError,
  createPublicClient,
  createWalletClient,
  type Hex,
  hexToString,
  http,
  publicActions,
  trim,
} from 'viem'
import { generatePrivateKey, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { DEVNET_KEYS } from '../../genesis/devnet.ts'
import type { ChainParams } from '../../genesis/params.ts'
import { defineTributaryChain, explainFailure, tributaryActions } from '../../rpc/client.ts'
import type { TributaryReceipt } from '../../rpc/viemChain.ts'

/** Longest that a transaction, and a call, may take. */
const RECEIPT_MAX_MS = 30_000
const CALL_MAX_MS = 20_000
const POLL_MS = 200

/** The demo cannot go on: a step did not do what it must. The message says which. */
export class DemoError extends Error {
  override readonly name = 'DemoError'
  readonly retryable = false
}

export type Person = { readonly role: string; readonly address: Hex; readonly account: PrivateKeyAccount }

export type Stage = {
  readonly client: ReturnType<typeof createDemoClient>
  readonly params: ChainParams
  /** Owns the datanet, and reviews what is uploaded. */
  readonly owner: Person
  readonly contributors: readonly [Person, Person, Person]
  readonly modelOwner: Person
  readonly worker: Person
  /** Signs the worker's receipts; made for this run. */
  readonly hotKey: Person
  readonly clients: readonly [Person, Person]
}

/** Connects to the node and hands out the roles. Throws DemoError if the network is none whose accounts everybody knows. */
export async function openStage(rpcUrl: string): Promise<Stage> {
  const chainId = await createPublicClient({ transport: http(rpcUrl, { timeout: CALL_MAX_MS }) }).getChainId()
  const client = createDemoClient(rpcUrl, chainId)
  const { genesisHash: _, ...params } = await client.getChainParams()
  const stage: Stage = {
    client,
    params,
    owner: personOf('datanet owner', DEVNET_KEYS[0]),
    contributors: [
      personOf('storage contributor', DEVNET_KEYS[1]),
      personOf('cryptography contributor', DEVNET_KEYS[2]),
      personOf('Ethereum contributor', DEVNET_KEYS[3]),
    ],
    modelOwner: personOf('model owner', DEVNET_KEYS[4]),
    worker: personOf('worker', DEVNET_KEYS[5]),
    hotKey: personOf('hot key', generatePrivateKey()),
    clients: [personOf('first client', DEVNET_KEYS[6]), personOf('second client', DEVNET_KEYS[7])],
  }
  const { index } = await client.getLedgerAccount({ account: stage.owner.address })
  if (index === 0) throw new DemoError(`${rpcUrl} is no devnet: its well-known accounts hold nothing`)
  return stage
}

/** Waits for a transaction. Throws DemoError with the broken rule if it failed. */
export async function included({ client }: Stage, hash: Hex): Promise<TributaryReceipt> {
  const receipt: TributaryReceipt = await client.waitForTransactionReceipt({ hash, timeout: RECEIPT_MAX_MS })
  if (receipt.status === 'success') return receipt
  const code = receipt.failureCode ?? 'reverted'
  throw new DemoError(`transaction ${hash} failed: ${code}. ${explainFailure(code)}`)
}

/** Asks until there is an answer. Throws DemoError when it takes longer than it may. */
export async function until<T>(what: string, waitMaxMs: number, probe: () => Promise<T | undefined>): Promise<T> {
  const endMs = Date.now() + waitMaxMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined) return answer
    if (Date.now() > endMs) throw new DemoError(`${what} did not happen within ${waitMaxMs / 1000} s`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Throws DemoError unless what a step relies on is so. */
export function expectThat(condition: boolean, what: string): asserts condition {
  if (!condition) throw new DemoError(what)
}

/** The rule that a call of a door broke, empty if it broke none. Throws what is no such refusal. */
export async function refusalOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    const revert = error instanceof BaseError ? error.walk((one) => one instanceof ContractFunctionRevertedError) : null
    const code = revert instanceof ContractFunctionRevertedError && revert.data?.errorName === 'Failed' ? revert.data.args?.[0] : undefined
    if (code === undefined) throw error
    return hexToString(trim(code as Hex, { dir: 'right' }))
  }
  return ''
}

function createDemoClient(rpcUrl: string, chainId: number) {
  const chain = defineTributaryChain({ id: chainId, rpcUrl })
  return createWalletClient({ chain, transport: http(rpcUrl, { timeout: CALL_MAX_MS }), pollingInterval: POLL_MS })
    .extend(publicActions)
    .extend(tributaryActions())
}

function personOf(role: string, privateKey: Hex | undefined): Person {
  expectThat(privateKey !== undefined, 'a role has no key')
  const account = privateKeyToAccount(privateKey)
  return { role, account, address: account.address.toLowerCase() as Hex }
}

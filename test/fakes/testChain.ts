/** A chain in memory for tests of execution: genesis with funded keys, blocks one after another, and a second state that checks each block. */
import { type Hex, hexToBytes } from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { applyBlock, type BlockResult, type Executor } from '../../execution/applyBlock.ts'
import type { Header } from '../../execution/block.ts'
import { type Built, buildBlock, type OriginStep } from '../../execution/buildBlock.ts'
import { createGenesisBlock } from '../../execution/genesisBlock.ts'
import { encodeNative, signingHash } from '../../execution/native/native.ts'
import type { FieldValues, NativeType } from '../../execution/native/nativeType.ts'
import type { Precompile } from '../../execution/precompile.ts'
import { createState } from '../../execution/state.ts'
import { decodeTx, type ReportTx, type Tx } from '../../execution/tx.ts'
import { createVm } from '../../execution/vm.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import type { Genesis } from '../../genesis/genesis.ts'
import { type ChainParams, OPEN_WEI } from '../../genesis/params.ts'
import { setOf } from '../consensus/fixtures.ts'
import { createMemoryStore, type MemoryStore } from './memoryStore.ts'

export const testKeys: readonly Hex[] = Array.from({ length: 8 }, (_, i) => `0x${(i + 1).toString(16).padStart(2, '0').repeat(32)}` as Hex)
export const testAccounts: readonly PrivateKeyAccount[] = testKeys.map((key) => privateKeyToAccount(key))
export const addressOf = (account: PrivateKeyAccount): Hex => account.address.toLowerCase() as Hex

/** Bytes cost nothing, so that a fee is gas times its price: what they cost has tests of its own. */
const FREE_BYTES = { l1BaseFeeScalar: 0n, l1BlobBaseFeeScalar: 0n } as const satisfies Partial<ChainParams>

/** A public key of which nobody asks for a signature: the group's generator. */
const TEST_KEY: Hex = '0x97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb'

export function testGenesis(params: Partial<ChainParams> = {}): Genesis {
  const filler = (byte: string, bytes: number): Hex => `0x${byte.repeat(bytes)}`
  return {
    params: { ...DEVNET_PARAMS, ...FREE_BYTES, ...params },
    timestampMs: 1_800_000_000_000,
    l1: {
      chainId: 31_337,
      openToken: filler('a1', 20),
      portal: filler('a2', 20),
      inbox: filler('a3', 20),
      systemConfig: filler('a8', 20),
      checkpointManager: filler('a4', 20),
      validatorRegistry: filler('a5', 20),
      bridge: filler('a6', 20),
      fraudVerifier: filler('a7', 20),
      origin: {
        number: 10n,
        hash: filler('b1', 32),
        timestampSec: 1_799_999_990n,
        baseFeeWei: 7n,
        blobBaseFeeWei: 1n,
        prevRandao: filler('b2', 32),
      },
    },
    validators: [{ address: filler('c1', 20), blsPublicKey: TEST_KEY, weight: 1, feeRecipient: filler('c3', 20) }],
    accounts: testAccounts.map((account) => ({
      address: addressOf(account),
      evmWei: 1_000_000n * OPEN_WEI,
      ledgerWei: 1_000_000n * OPEN_WEI,
    })),
  }
}

/** Validators of weight 1 whose keys tests have: those of test/consensus/fixtures.ts. */
export function equalValidators(count: number): Genesis['validators'] {
  const { validators } = setOf(Array.from({ length: count }, () => 1))
  return validators.map(({ address, publicKey, feeRecipient }) => ({ address, blsPublicKey: publicKey, weight: 1, feeRecipient }))
}

export type TestChain = {
  readonly genesis: Genesis
  readonly store: MemoryStore
  readonly executor: Executor
  head(): Header
  /** Builds the next block from these, applies it on the checking state, and commits both. */
  next(txs: Iterable<Tx>, options?: { origin?: OriginStep; afterMs?: number; reports?: readonly ReportTx[] }): Promise<Built>
  decode(raw: Uint8Array | Hex): Tx
}

export async function createTestChain(
  options: {
    params?: Partial<ChainParams>
    precompiles?: readonly Precompile[]
    validators?: Genesis['validators']
    /** In place of the test genesis with the above. */
    genesis?: Genesis
  } = {},
): Promise<TestChain> {
  const genesis = options.genesis ?? { ...testGenesis(options.params), ...(options.validators && { validators: options.validators }) }
  const first = createGenesisBlock(genesis)
  const hashes = new Map<bigint, Hex>([[0n, first.hash]])
  const make = async () => {
    const store = createMemoryStore()
    store.write(first.writes)
    const state = createState(store.reader, first.roots)
    const vm = await createVm({
      state,
      params: genesis.params,
      precompiles: options.precompiles ?? [],
      blockHash: (number) => hashes.get(number),
    })
    return { store, executor: { state, vm, params: genesis.params, judgeEvidence } satisfies Executor }
  }
  const builder = await make()
  const checker = await make()
  let head = first.block.header
  let timeMs = genesis.timestampMs
  return {
    genesis,
    store: builder.store,
    executor: builder.executor,
    head: () => head,
    decode(raw) {
      const result = decodeTx(typeof raw === 'string' ? hexToBytes(raw) : raw, builder.executor.vm.common)
      if (!result.ok) throw new Error(`transaction refused: ${JSON.stringify(result, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`)
      return result.tx
    },
    async next(txs, { origin, afterMs, reports = [] } = {}) {
      timeMs += afterMs ?? 1_000
      const request = {
        parent: head,
        timestampMs: timeMs,
        feeRecipient: genesis.validators[0]?.feeRecipient ?? '0x',
        origin,
        reports,
        offer: txs,
        triesMax: 10_000,
      }
      const built = await buildBlock(builder.executor, request)
      builder.store.write(built.writes)
      const applied: ({ ok: true } & BlockResult) | { ok: false } = await applyBlock(checker.executor, head, built.block)
      if (!applied.ok) throw new Error(`built block refused: ${JSON.stringify(applied, (_, v) => (typeof v === 'bigint' ? `${v}` : v))}`)
      checker.store.write(applied.writes)
      head = built.block.header
      hashes.set(head.number, built.hash)
      return built
    },
  }
}

/** A signed native transaction's bytes. */
export async function signNative(
  account: PrivateKeyAccount,
  {
    type,
    fields,
    nonce,
    chainId,
    maxFeeWei,
  }: { type: NativeType; fields: FieldValues; nonce: bigint; chainId: number; maxFeeWei?: bigint },
): Promise<Uint8Array> {
  const unsigned = { type, chainId, nonce, maxFeeWei: maxFeeWei ?? OPEN_WEI, fields }
  const signature = await account.sign({ hash: `0x${Buffer.from(signingHash(unsigned)).toString('hex')}` })
  const bytes = hexToBytes(signature)
  return encodeNative({ ...unsigned, signature: { r: bytes.slice(0, 32), s: bytes.slice(32, 64), yParity: bytes[64] === 28 ? 1 : 0 } })
}

/**
 * What a block's header commits to, made anew from the answers of JSON-RPC alone, as a client can: the hash from the header's members, the roots and the
 * bloom from transactions and receipts. Spec: docs/spec/block.md
 */
import { createMPT } from '@ethereumjs/mpt'
import { concatHex, type Hex, hexToBytes, keccak256, numberToHex, type Signature, toHex, toRlp, trim } from 'viem'
import { assert } from '../../execution/assert.ts'
import { serializeTransaction, type TributaryTransaction } from '../../rpc/viemChain.ts'
import type { L2Client } from './stage.ts'

/** Members of a header in the order of its RLP, and which of them are integers. */
const HEADER_MEMBERS = [
  ...'parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom'.split(' '),
  ...'difficulty number gasLimit gasUsed timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot'.split(' '),
  ...'blobGasUsed excessBlobGas parentBeaconBlockRoot requestsHash'.split(' '),
]
const INTEGERS = new Set('difficulty number gasLimit gasUsed timestamp baseFeePerGas blobGasUsed excessBlobGas'.split(' '))

type RawLog = { readonly address: Hex; readonly topics: readonly Hex[]; readonly data: Hex }
type RawReceipt = {
  readonly type: Hex
  readonly status: Hex
  readonly cumulativeGasUsed: Hex
  readonly logsBloom: Hex
  readonly logs: readonly RawLog[]
}
export type Commitments = { readonly hash: Hex; readonly transactionsRoot: Hex; readonly receiptsRoot: Hex; readonly logsBloom: Hex }

/** What the node says of a block, what follows from its other answers, and of which types its transactions are. */
export async function commitmentsOf(
  client: L2Client,
  blockNumber: bigint,
): Promise<{ readonly said: Commitments; readonly made: Commitments; readonly types: readonly string[] }> {
  const [header, block, receipts] = await Promise.all([
    ask<Record<string, Hex>>(client, 'eth_getBlockByNumber', numberToHex(blockNumber), false),
    client.getBlock({ blockNumber, includeTransactions: true }),
    ask<readonly RawReceipt[]>(client, 'eth_getBlockReceipts', numberToHex(blockNumber)),
  ])
  const transactions = block.transactions as readonly TributaryTransaction[]
  const raw = transactions.map((transaction) => serialize(transaction))
  transactions.forEach(({ hash }, i) => {
    assert(hash === keccak256(raw[i] ?? '0x'), `transaction ${hash} is not what its members say`)
  })
  const made = {
    hash: keccak256(toRlp(HEADER_MEMBERS.map((name) => (INTEGERS.has(name) ? integer(header[name]) : (header[name] ?? '0x'))))),
    transactionsRoot: await rootOf(raw),
    receiptsRoot: await rootOf(receipts.map(encodeReceipt)),
    logsBloom: bloomOf(receipts.flatMap(({ logs }) => logs)),
  }
  const said = { hash: block.hash, transactionsRoot: block.transactionsRoot, receiptsRoot: block.receiptsRoot, logsBloom: block.logsBloom }
  return { said, made, types: transactions.map(({ type }) => type) }
}

async function ask<T>(client: L2Client, method: string, ...params: readonly unknown[]): Promise<T> {
  return (await client.request({ method, params } as never)) as T
}

function serialize(transaction: TributaryTransaction): Hex {
  const { r, s, v, yParity, input: data } = transaction as { r: Hex; s: Hex; v?: bigint; yParity?: number; input: Hex }
  const signature = { r, s, ...(v === undefined ? {} : { v }), ...(yParity === undefined ? {} : { yParity }) } as Signature
  return serializeTransaction({ ...transaction, data } as never, transaction.type === 'deposit' ? undefined : signature) as Hex
}

function encodeReceipt({ type, status, cumulativeGasUsed, logsBloom, logs }: RawReceipt): Hex {
  assert(logsBloom === bloomOf(logs), 'a receipt has another bloom than its logs')
  const fields = [
    integer(status),
    integer(cumulativeGasUsed),
    bloomOf(logs),
    logs.map(({ address, topics, data }) => [address, [...topics], data]),
  ]
  const encoded = toRlp(fields as Parameters<typeof toRlp>[0])
  return type === '0x0' ? encoded : concatHex([type, encoded])
}

/** Root of Ethereum's trie over a list. */
async function rootOf(items: readonly Hex[]): Promise<Hex> {
  const trie = await createMPT()
  for (const [i, item] of items.entries()) await trie.put(hexToBytes(toRlp(integer(numberToHex(i)))), hexToBytes(item))
  return toHex(trie.root())
}

/** Three bits of 2,048 for each address and topic. Source: Ethereum's yellow paper, 4.3.1. */
function bloomOf(logs: readonly RawLog[]): Hex {
  const bloom = new Uint8Array(256)
  for (const item of logs.flatMap(({ address, topics }) => [address, ...topics])) {
    const hash = keccak256(item, 'bytes')
    for (const i of [0, 2, 4]) {
      const bit = (((hash[i] ?? 0) << 8) | (hash[i + 1] ?? 0)) & 2_047
      bloom[255 - (bit >> 3)] = (bloom[255 - (bit >> 3)] ?? 0) | (1 << (bit & 7))
    }
  }
  return toHex(bloom)
}

/** An integer as RLP has it: without leading zeros, and no bytes for zero. */
function integer(quantity: Hex = '0x'): Hex {
  return quantity === '0x' || BigInt(quantity) === 0n ? '0x' : trim(quantity.length % 2 === 0 ? quantity : `0x0${quantity.slice(2)}`)
}

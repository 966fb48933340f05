//! Orders and cycles of a directed graph over tables.

use std::collections::BTreeSet;

use petgraph::graphmap::DiGraphMap;

use super::TableId;

/// The groups of `nodes` that `edges` (parent, child) tie into cycles, parents
/// before children. A group of one is a table outside every cycle of more
/// than itself.
///
/// The same input gives the same order: ties are broken by table id.
#[must_use]
pub fn groups(nodes: &BTreeSet<TableId>, edges: &[(TableId, TableId)]) -> Vec<Vec<TableId>> {
    let mut graph = DiGraphMap::<TableId, ()>::new();
    // Reverse insertion makes Tarjan's search, which starts at the first node
    // and returns the last finished group first, end up with small ids first.
    for &node in nodes.iter().rev() {
        graph.add_node(node);
    }
    let mut sorted: Vec<_> = edges
        .iter()
        .filter(|(parent, child)| nodes.contains(parent) && nodes.contains(child))
        .collect();
    sorted.sort_unstable();
    for &&(parent, child) in sorted.iter().rev() {
        graph.add_edge(parent, child, ());
    }
    let mut groups = petgraph::algo::tarjan_scc(&graph);
    groups.reverse();
    for group in &mut groups {
        group.sort_unstable();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn parents_come_before_children_and_cycles_stay_together() {
        let id = Schema::table_id;
        let nodes: BTreeSet<_> = (0..5).map(id).collect();
        let edges = [(4, 0), (0, 1), (1, 2), (2, 1), (2, 3)].map(|(p, c)| (id(p), id(c)));
        let found = groups(&nodes, &edges);
        assert_eq!(
            found,
            vec![vec![id(4)], vec![id(0)], vec![id(1), id(2)], vec![id(3)]]
        );
    }
}

"""TabularPreprocessor: scikit-learn's contract, and every rule of its own."""

from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skhyperfusion._table import TabularPreprocessor

PREPROCESSORS = [
    TabularPreprocessor(),
    TabularPreprocessor(imputer="median", scaler=None),
    TabularPreprocessor(imputer="knn", add_indicator=False),
]


@parametrize_with_checks(PREPROCESSORS)
def test_sklearn_contract(estimator, check):
    assert check(estimator) is None


def test_sklearn_contract_yields_all_checks():
    assert sum(1 for _ in estimator_checks_generator(TabularPreprocessor())) >= 45
